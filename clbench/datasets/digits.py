"""1,797 real 8×8 grey images of handwritten digits, embedded in scikit-learn; no download.

Alpaydin & Kaynak 1998 (UCI Optical Recognition of Handwritten Digits, its test part), 10 classes. Split here into
1,437 training and 360 test images, stratified, by a fixed seed.
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from clbench.dataset import Arrays, DatasetReader


class Digits(DatasetReader):
    """The embedded default."""

    def source(self) -> str:
        """Return the package version: the data are part of the package."""
        return f"scikit-learn {version('scikit-learn')}"

    def read(self) -> Arrays:
        """Read, scale 0…16 to 0…255 and split."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        x = np.round(digits.images * (255 / 16)).astype(np.uint8)
        x_train, x_test, y_train, y_test = train_test_split(
            x, digits.target, test_size=360, stratify=digits.target, random_state=0
        )
        return Arrays(x_train, y_train, x_test, y_test, tuple("0123456789"))
