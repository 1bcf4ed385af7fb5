"""`folder:DIR` or `folder:FILE.zip`: your own images, in train/CLASS/ and test/CLASS/.

All images have one size and 8 bits per channel. They are read as grey if every one is grey, else as RGB. One image of
each class in either split is enough. A zip is read in place, never unpacked on disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clbench.dataset import Arrays, DatasetReader
from clbench.datasets.images import Files, decode, fingerprint, opened
from clbench.errors import DataError

_GREY = {"1", "L"}
_DEEP = {"I", "F"}
"""32-bit modes of PIL; 16-bit ones are called ``I;16`` and the like."""


class Folder(DatasetReader):
    """Images from class folders."""

    argument: ClassVar[str | None] = "DIR|ZIP"

    @property
    def path(self) -> Path:
        """The folder or zip file."""
        return Path(self.given or "").expanduser()

    def source(self) -> str:
        """Return the zip's hash, or one of the folder's names, sizes and modification times."""
        return fingerprint(self.path)

    def read(self) -> Arrays:
        """Read every image of both splits."""
        with opened(self.path) as files:
            return self._read(files)

    def _read(self, files: Files) -> Arrays:
        found = {split: _by_class(files.names, split) for split in ("train", "test")}
        classes = self._classes(found)
        names = {split: [n for c in classes for n in found[split][c]] for split in found}
        images = {split: decode(self.path, files, names[split], _pixels) for split in found}
        self._check_sizes([*names["train"], *names["test"]], [*images["train"], *images["test"]])
        grey = all(image.ndim == 2 for split in images.values() for image in split)
        x = {split: _stack(images[split], grey) for split in found}
        y = {
            split: np.repeat(np.arange(len(classes)), [len(folders[c]) for c in classes])
            for split, folders in found.items()
        }
        return Arrays(x["train"], y["train"], x["test"], y["test"], tuple(classes))

    def _classes(self, found: dict[str, dict[str, list[str]]]) -> list[str]:
        for split, folders in found.items():
            if not folders:
                raise DataError(
                    f"{self.path} has no image in {split}/CLASS/; it needs train/ and test/, each"
                    " with a folder per class"
                )
        odd = sorted(set(found["train"]) ^ set(found["test"]))
        if odd:
            raise DataError(f"{self.path}: class {odd[0]!r} is not in both train/ and test/")
        return sorted(found["train"])

    def _check_sizes(self, names: list[str], images: list[NDArray[np.uint8]]) -> None:
        for name, image in zip(names, images, strict=True):
            if image.shape[:2] != images[0].shape[:2]:
                raise DataError(
                    f"{self.path}: {names[0]} is {_size(images[0])} pixels, {name} {_size(image)};"
                    " bring all images to one size first"
                )


def _stack(images: list[NDArray[np.uint8]], grey: bool) -> NDArray[Any]:
    """Return [N, C, H, W]."""
    if grey:
        return np.stack(images)[:, None]
    coloured = [i if i.ndim == 3 else np.repeat(i[..., None], 3, axis=2) for i in images]
    return np.stack(coloured).transpose(0, 3, 1, 2)


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return [H, W] if the image is grey, else [H, W, 3]."""
    if image.mode in _DEEP or image.mode.startswith("I;"):  # PIL would cut off all above 255
        raise ValueError(
            f"it has more than 8 bits per channel (mode {image.mode});"
            " bring all images to 8-bit grey or RGB first"
        )
    return np.asarray(image.convert("L" if image.mode in _GREY else "RGB"))


def _size(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"


def _by_class(names: list[str], split: str) -> dict[str, list[str]]:
    """Return the images of each class of a split; there may be one folder around everything."""
    found: dict[str, list[str]] = {}
    for name in names:
        parts = name.split("/")
        if len(parts) in (3, 4) and parts[-3] == split:
            found.setdefault(parts[-2], []).append(name)
    return found
