"""60,000 colour 32×32 images of animals and vehicles; downloaded on first use through torchvision.

CIFAR-10, Krizhevsky 2009, 50,000 training and 10,000 test images, 10 classes. Normalised with the usual means .4914,
.4822, .4465 and standard deviations .2470, .2435, .2616 (some code has .2023, .1994, .2010, which are means over
images of each image's own).
"""

from __future__ import annotations

from clbench.datasets.cifar import CifarReader


class CIFAR10(CifarReader):
    """CIFAR-10 from ``DATA_DIR/cifar-10-batches-py``."""

    title = "CIFAR-10"
    torchvision_name = "CIFAR10"
    archive = "cifar-10-python.tar.gz"
    folder = "cifar-10-batches-py"
    batches = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)
