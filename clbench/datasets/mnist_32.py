"""MNIST zero-padded to 32×32, normalised as in Hsu et al. 2018; downloaded as `mnist`.

Two rows and columns of zeros on every side; mean .1 and standard deviation .2752 (Hsu, Liu, Ramasamy & Kira 2018,
"Re-evaluating continual learning scenarios", as in their code).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clbench.dataset import Arrays
from clbench.datasets.mnist import MNIST

_BORDER = ((0, 0), (2, 2), (2, 2))


class MNIST32(MNIST):
    """MNIST as Hsu et al. use it."""

    mean = (0.1,)
    std = (0.2752,)

    def read(self) -> Arrays:
        """Read and pad both splits."""
        arrays = super().read()
        return replace(
            arrays, x_train=np.pad(arrays.x_train, _BORDER), x_test=np.pad(arrays.x_test, _BORDER)
        )
