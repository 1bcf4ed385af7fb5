"""Image files in a folder or a zip: listed, read in place and decoded, large ones in threads."""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from operator import itemgetter
from pathlib import Path, PurePath
from statistics import median
from typing import Any, NamedTuple

from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from clbench.dataset import hash_files
from clbench.datasets.archives import check_members, check_size
from clbench.errors import DataError

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
_DAMAGED_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    UnicodeDecodeError,  # in a member's name
    RuntimeError,  # encrypted, or compressed by an unknown method
)
_BATCH = 64
"""Images a thread takes at a time; one by one, 60,000 small JPEGs take about a third longer."""
_SMALL = 4096
"""Bytes of an image below which threads only take the interpreter from each other: one thread is twice as fast."""


class Files(NamedTuple):
    """What a folder or a zip holds."""

    names: list[str]
    """The images, sorted, with ``/`` between folders."""
    read: Callable[[str], bytes]
    size: Callable[[str], int]
    """Of a file, in bytes."""


def fingerprint(path: Path) -> str:
    """Return a zip's hash, or one of a folder's names, sizes and modification times.

    Raises:
        DataError: There is neither, or a folder cannot be read.
    """
    if path.is_file():
        return hash_files([path])
    if not path.is_dir():
        raise DataError(f"there is no folder or zip file {path.absolute()}")
    listed = hashlib.sha256()
    for name, entry in _listed(path):
        facts = entry.stat()
        listed.update(os.fsencode(f"{name}:{facts.st_size}:{facts.st_mtime_ns}\n"))
    return listed.hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[Files]:
    """Yield the images of a folder or a zip; a zip is read in place, never unpacked on disk.

    Raises:
        DataError: The zip is damaged or unsafe.
    """
    if path.is_dir():
        names = [name for name, _ in _listed(path)]
        yield Files(
            names,
            lambda name: (path / name).read_bytes(),
            lambda name: (path / name).stat().st_size,
        )
        return
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(path, archive)
            check_size(path, archive)
            members = (name for name in archive.namelist() if not name.endswith("/"))
            names = sorted(filter(_is_image, members))
            yield Files(names, archive.read, lambda name: archive.getinfo(name).file_size)
    except _DAMAGED_ZIP as error:
        raise DataError(f"{path} is not a readable zip file: {error}") from error


def decode(
    path: Path,
    files: Files,
    names: Sequence[str],
    convert: Callable[[Image.Image], NDArray[Any]],
) -> list[NDArray[Any]]:
    """Return one array per image.

    Args:
        path: The folder or zip, for messages.
        files: What it holds.
        names: Which of it to decode.
        convert: Makes an array of an image; a ValueError says why it cannot.

    Raises:
        DataError: Names an image that is damaged or cannot be converted.
    """
    batches = [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)]
    with ThreadPoolExecutor(1 if _are_small(files, names) else None) as pool:
        decoded = pool.map(lambda some: [_decode(path, files, n, convert) for n in some], batches)
        return list(chain.from_iterable(decoded))


def _are_small(files: Files, names: Sequence[str]) -> bool:
    """Return whether the median of some images is small."""
    some = names[:: max(1, len(names) // 9)]
    try:
        return bool(some) and median(map(files.size, some)) < _SMALL
    except OSError:  # one is not there any more, as reading it will say
        return False


def _decode(
    path: Path, files: Files, name: str, convert: Callable[[Image.Image], NDArray[Any]]
) -> NDArray[Any]:
    try:
        with Image.open(io.BytesIO(files.read(name))) as image:
            return convert(image)
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path}: image {name} cannot be read: it is damaged or no image"
        ) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: image {name} cannot be read: {error}") from error


def _listed(folder: Path) -> list[tuple[str, os.DirEntry[str]]]:
    try:
        return sorted(
            ((name, entry) for name, entry in _walk(folder) if _is_image(name)),
            key=itemgetter(0),
        )
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error}") from error


def _walk(folder: str | Path, inside: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield every file below a folder with its path from there; for 60,000, pathlib is too slow."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{inside}{entry.name}/")
            elif entry.is_file():
                yield f"{inside}{entry.name}", entry


def _is_image(name: str) -> bool:
    """Return whether it is named like an image, and neither hidden nor what macOS adds to a zip."""
    parts = name.split("/")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return PurePath(parts[-1]).suffix.lower() in _SUFFIXES and not hidden
