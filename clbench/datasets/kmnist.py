"""70,000 grey 28×28 images of cursive Japanese characters; downloaded on first use through torchvision.

Kuzushiji-MNIST, Clanuwat et al. 2018, 60,000 training and 10,000 test images, 10 classes: the hiragana o, ki, su, tsu,
na, ha, ma, ya, re and wo. Normalised by the mean and standard deviation of the training images.
"""

from __future__ import annotations

from clbench.datasets.idx import IdxReader


class KMNIST(IdxReader):
    """Kuzushiji-MNIST from ``DATA_DIR/KMNIST/raw``."""

    title = "Kuzushiji-MNIST"
    torchvision_name = "KMNIST"
    classes = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
