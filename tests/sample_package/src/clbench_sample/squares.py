"""White squares at four places; the dataset of the sample package."""

from __future__ import annotations

import numpy as np

from clbench import Arrays, DatasetReader


class Squares(DatasetReader):
    """Six by six pixels, four classes."""

    def source(self) -> str:
        """Return a constant: the images are drawn by this file."""
        return "squares"

    def read(self) -> Arrays:
        """Draw them."""
        y = np.arange(240) % 4
        x = np.random.default_rng(0).integers(0, 120, (240, 6, 6), dtype=np.uint8)
        for image, label in zip(x, y, strict=True):
            row, column = divmod(int(label), 2)
            image[3 * row : 3 * row + 3, 3 * column : 3 * column + 3] += 120
        names = ("top left", "top right", "bottom left", "bottom right")
        return Arrays(x[:160], y[:160], x[160:], y[160:], names)
