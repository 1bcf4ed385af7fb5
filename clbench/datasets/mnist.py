"""70,000 grey 28×28 images of handwritten digits; downloaded on first use through torchvision.

LeCun, Bottou, Bengio & Haffner 1998, 60,000 training and 10,000 test images, 10 classes. Normalised with the usual
mean .1307 and standard deviation .3081.
"""

from __future__ import annotations

from clbench.datasets.idx import IdxReader


class MNIST(IdxReader):
    """MNIST from ``DATA_DIR/MNIST/raw``."""

    title = torchvision_name = "MNIST"
    classes = tuple("0123456789")
    mean = (0.1307,)
    std = (0.3081,)
