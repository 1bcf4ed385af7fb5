"""60,000 colour 32×32 images of 100 fine classes; downloaded on first use through torchvision.

CIFAR-100, Krizhevsky 2009, 50,000 training and 10,000 test images. Normalised with the usual means .5071, .4865, .4409
and standard deviations .2673, .2564, .2762.
"""

from __future__ import annotations

from clbench.datasets.cifar import CifarReader


class CIFAR100(CifarReader):
    """CIFAR-100 from ``DATA_DIR/cifar-100-python``."""

    title = "CIFAR-100"
    torchvision_name = "CIFAR100"
    archive = "cifar-100-python.tar.gz"
    folder = "cifar-100-python"
    batches = ("train", "test", "meta")
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)
