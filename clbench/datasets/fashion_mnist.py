"""70,000 grey 28×28 images of clothes; downloaded on first use through torchvision.

Xiao, Rasul & Vollgraf 2017, 60,000 training and 10,000 test images, 10 classes. Normalised with the usual mean .2860
and standard deviation .3530.
"""

from __future__ import annotations

from clbench.datasets.idx import IdxReader


class FashionMNIST(IdxReader):
    """Fashion-MNIST from ``DATA_DIR/FashionMNIST/raw``."""

    title = "Fashion-MNIST"
    torchvision_name = "FashionMNIST"
    classes = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    mean = (0.2860,)
    std = (0.3530,)
