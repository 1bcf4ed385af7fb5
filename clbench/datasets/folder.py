"""`folder:DIR` or `folder:FILE.zip`: your own images, in train/CLASS/ and test/CLASS/.

All images have one size. They are read as grey if every one is grey, else as RGB. A zip is read in place, never
unpacked on disk.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from clbench.dataset import Arrays, DatasetReader, hash_files
from clbench.datasets.archives import check_members, check_size
from clbench.errors import DataError

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
_GREY = {"1", "L"}
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    UnicodeDecodeError,  # in a member's name
    RuntimeError,  # encrypted, or compressed by an unknown method
)


class Folder(DatasetReader):
    """Images from class folders."""

    argument: ClassVar[str | None] = "DIR|ZIP"

    @property
    def path(self) -> Path:
        """The folder or zip file."""
        return Path(self.given or "").expanduser()

    def source(self) -> str:
        """Return the zip's hash, or one of the folder's names, sizes and modification times."""
        if self.path.is_file():
            return hash_files([self.path])
        if not self.path.is_dir():
            raise DataError(f"there is no folder or zip file {self.path.absolute()}")
        listed = hashlib.sha256()
        for file in self._listed():
            facts = (self.path / file).stat()
            listed.update(f"{file}:{facts.st_size}:{facts.st_mtime_ns}\n".encode())
        return listed.hexdigest()

    def read(self) -> Arrays:
        """Read every image of both splits."""
        if self.path.is_dir():
            return self._read(self._listed(), lambda file: (self.path / file).read_bytes())
        try:
            with zipfile.ZipFile(self.path) as archive:
                check_members(self.path, archive)
                check_size(self.path, archive)
                return self._read(_images(archive.namelist()), archive.read)
        except _DAMAGED as error:
            raise DataError(f"{self.path} is not a readable zip file: {error}") from error

    def _listed(self) -> list[str]:
        """Return the images below the folder."""
        files = (path for path in self.path.rglob("*") if path.is_file())
        return _images(file.relative_to(self.path).as_posix() for file in files)

    def _read(self, files: list[str], read: Callable[[str], bytes]) -> Arrays:
        splits = {split: _by_class(files, split) for split in ("train", "test")}
        for split, folders in splits.items():
            if not folders:
                raise DataError(
                    f"{self.path} has no image in {split}/CLASS/; it needs train/ and test/, each"
                    " with a folder per class"
                )
        classes = sorted(splits["train"])
        odd = sorted(set(splits["train"]) ^ set(splits["test"]))
        if odd:
            raise DataError(f"{self.path}: class {odd[0]!r} is not in both train/ and test/")
        raw = {split: self._decode(folders, read) for split, folders in splits.items()}
        grey = all(image.ndim == 2 for images in raw.values() for image in images)
        x = {split: self._stack(splits[split], images, grey) for split, images in raw.items()}
        y = {
            split: np.repeat(np.arange(len(classes)), [len(folders[c]) for c in classes])
            for split, folders in splits.items()
        }
        return Arrays(x["train"], y["train"], x["test"], y["test"], tuple(classes))

    def _decode(
        self, folders: dict[str, list[str]], read: Callable[[str], bytes]
    ) -> list[NDArray[np.uint8]]:
        """Return one array per image, [H, W] if grey, else [H, W, 3]; PIL decodes in threads."""
        files = [file for name in sorted(folders) for file in folders[name]]
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda file: self._image(file, read(file)), files))

    def _image(self, file: str, content: bytes) -> NDArray[np.uint8]:
        try:
            with Image.open(io.BytesIO(content)) as image:
                return np.asarray(image.convert("L" if image.mode in _GREY else "RGB"))
        except UnidentifiedImageError as error:
            raise DataError(
                f"{self.path}: image {file} cannot be read: it is damaged or no image"
            ) from error
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"{self.path}: image {file} cannot be read: {error}") from error

    def _stack(
        self, folders: dict[str, list[str]], images: list[NDArray[np.uint8]], grey: bool
    ) -> NDArray[Any]:
        """Return [N, C, H, W]."""
        files = [file for name in sorted(folders) for file in folders[name]]
        for file, image in zip(files, images, strict=True):
            if image.shape[:2] != images[0].shape[:2]:
                raise DataError(
                    f"{self.path}: {files[0]} is {_size(images[0])} pixels, {file} {_size(image)};"
                    " bring all images to one size first"
                )
        if grey:
            return np.stack(images)[:, None]
        coloured = [i if i.ndim == 3 else np.repeat(i[..., None], 3, axis=2) for i in images]
        return np.stack(coloured).transpose(0, 3, 1, 2)


def _size(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"


def _images(files: Iterable[str]) -> list[str]:
    return sorted(
        file for file in files if not file.endswith("/") and _is_image(PurePosixPath(file))
    )


def _is_image(file: PurePosixPath) -> bool:
    """Return whether it is named like an image, and neither hidden nor what macOS adds to a zip."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in file.parts)
    return file.suffix.lower() in _SUFFIXES and not hidden


def _by_class(files: list[str], split: str) -> dict[str, list[str]]:
    """Return the files of each class of a split; there may be one folder around everything."""
    found: dict[str, list[str]] = {}
    for file in files:
        parts = PurePosixPath(file).parts
        if len(parts) in (3, 4) and parts[-3] == split:
            found.setdefault(parts[-2], []).append(file)
    return found
