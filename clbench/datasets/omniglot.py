"""32,460 drawings of 1,623 characters from 50 alphabets, 28×28; downloaded on first use through torchvision.

Omniglot, Lake, Salakhutdinov & Tenenbaum 2015. Every character is a class with 20 drawings; sorted by file name, the
first 15 are training images, the last 5 test images. Ink is bright (255) on 0. The 105×105 originals are resized with
PIL's LANCZOS filter, which smooths what it makes smaller, as in the code of MAML (Finn et al. 2017). Normalised by the
mean and standard deviation of the training images.

A class is called ``alphabet/character``. The 964 characters of the background set come first, then the 659 of the
evaluation set, each part sorted by name: the position says the set, the name says the alphabet. No alphabet is in both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clbench.dataset import Arrays
from clbench.datasets.downloads import PublishedReader, Remote
from clbench.datasets.images import Files, decode, fingerprint, opened
from clbench.errors import DataError

BACKGROUND = 964
"""Classes before this one are of the background set, the others of the evaluation set."""

_CHARACTERS = {"images_background": BACKGROUND, "images_evaluation": 659}
_DRAWINGS = 20
_TRAIN = 15


class Omniglot(PublishedReader):
    """Omniglot from ``DATA_DIR/omniglot-py``, its two parts each a zip or a folder.

    Where both are there the zip is read, since a folder may be half extracted.
    """

    title = "Omniglot"

    @property
    def archives(self) -> dict[str, tuple[str, ...]]:
        """A zip per part; it need not be extracted."""
        return {f"omniglot-py/{part}.zip": (f"omniglot-py/{part}.zip",) for part in _CHARACTERS}

    def remote(self, archive: str) -> Remote:
        """Return a part's address."""
        from torchvision import datasets

        part = Path(archive).stem
        url = f"{datasets.Omniglot.download_url_prefix}/{part}.zip"
        return Remote((url,), datasets.Omniglot.zips_md5[part])

    def present(self, archive: str) -> bool:
        """Return whether a part is there in either form."""
        return super().present(archive) or self._path(Path(archive).stem).is_dir()

    def source(self) -> str:
        """Return a hash of both parts; download what is not there."""
        for archive in self.archives:
            self.fetch(archive)
        return "\n".join(fingerprint(self._path(part)) for part in _CHARACTERS)

    def read(self) -> Arrays:
        """Read, resize and split."""
        parts = [self._read(part) for part in _CHARACTERS]
        classes = tuple(name for names, _ in parts for name in names)
        x = np.concatenate([images for _, images in parts])
        y = np.arange(len(classes))
        return Arrays(
            x[:, :_TRAIN].reshape(-1, 28, 28),
            y.repeat(_TRAIN),
            x[:, _TRAIN:].reshape(-1, 28, 28),
            y.repeat(_DRAWINGS - _TRAIN),
            classes,
        )

    def _path(self, part: str) -> Path:
        folder = self.data_dir / "omniglot-py" / part
        archive = folder.with_suffix(".zip")
        return archive if archive.is_file() else folder

    def _read(self, part: str) -> tuple[list[str], NDArray[Any]]:
        """Return a part's characters, and their drawings [characters, 20, 28, 28]."""
        path = self._path(part)
        with opened(path) as files:
            drawings = _by_character(files)
            _check(path, drawings, _CHARACTERS[part])
            names = [name for character in sorted(drawings) for name in drawings[character]]
            images = np.stack(decode(path, files, names, _pixels))
        return sorted(drawings), images.reshape(-1, _DRAWINGS, 28, 28)


def _by_character(files: Files) -> dict[str, list[str]]:
    """Return the drawings of every ``alphabet/character``, sorted."""
    found: dict[str, list[str]] = {}
    for name in files.names:
        found.setdefault("/".join(name.split("/")[-3:-1]), []).append(name)
    return found


def _check(path: Path, drawings: dict[str, list[str]], characters: int) -> None:
    if len(drawings) != characters:
        raise DataError(
            f"{path} has {len(drawings)} characters, not {characters}; delete it to download it again"
        )
    for character, names in drawings.items():
        if len(names) != _DRAWINGS:
            raise DataError(
                f"{path}: character {character} has {len(names)} drawings, not {_DRAWINGS};"
                " delete it to download it again"
            )


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    if image.size != (105, 105):
        raise ValueError(f"it is {image.width}×{image.height} pixels, not 105×105")
    return 255 - np.asarray(image.convert("L").resize((28, 28), Image.Resampling.LANCZOS))
