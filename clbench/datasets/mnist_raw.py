"""MNIST with pixels in [0, 1], not normalised, as GEM, MER and La-MAML have it; downloaded as `mnist`.

Lopez-Paz & Ranzato 2017, Riemer et al. 2019 and Gupta et al. 2020 divide by 255. Normalised images are three times as
long, so that a rate for plain SGD from these papers diverges on `mnist`.
"""

from __future__ import annotations

from clbench.datasets.mnist import MNIST


class MNISTRaw(MNIST):
    """MNIST as MER uses it."""

    mean = (0.0,)
    std = (1.0,)
