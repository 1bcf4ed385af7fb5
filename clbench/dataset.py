"""A dataset: tensors per split, class names, normalisation and a content hash.

A `DatasetReader` reads files into numpy `Arrays`; `load` checks them, caches them as one safetensors file (never in a
data directory, never a pickle) and returns a `Dataset`.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from clbench.blame import blamed, defined_at
from clbench.dataset_cache import cache_folder, keep, kept
from clbench.errors import DataError, UsageError
from clbench.registry import Resolved, check_class, resolve

_TENSORS = ("x_train", "y_train", "x_test", "y_test")
_EXPERIENCES = ("experience_train", "experience_test")
"""Tensors that most datasets do not have."""


@dataclass(frozen=True)
class Arrays:
    """What a reader returns.

    Images are uint8 or float, [N, H, W] or [N, C, H, W]; labels are integers 0…K−1, one per image.
    """

    x_train: NDArray[Any]
    y_train: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]
    classes: tuple[str, ...]
    mean: tuple[float, ...] | None = None
    """Per channel, of images in [0, 1]; None computes it from the training images."""
    std: tuple[float, ...] | None = None
    experience_train: NDArray[Any] | None = None
    """[N] experience of each sample, 0…T−1, where the data come as a stream; for the scenario ``given``."""
    experience_test: NDArray[Any] | None = None
    """[N] the same; −1 belongs to every experience with its class."""


@dataclass(frozen=True)
class Dataset:
    """Two splits of images `x` [N, C, H, W] (uint8 or float32) and labels `y` [N] int64."""

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    hash: str
    """Of the content, not of its path."""
    experience_train: Tensor | None = None
    """[N] int64, or None; see `Arrays`. Never moved to a device: only a scenario looks at it."""
    experience_test: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        _, channels, height, width = self.x_train.shape
        return channels, height, width

    def to(self, device: torch.device, *, images: bool = True) -> Dataset:
        """Return the dataset with its tensors on ``device``, or its labels alone."""
        moved = [name for name in _TENSORS if images or not name.startswith("x_")]
        return replace(self, **{name: getattr(self, name).to(device) for name in moved})

    def resized(self, size: int) -> Dataset:
        """Return the dataset with images of size × size pixels: bilinear, over a source pixel's whole share."""

        def change(x: Tensor) -> Tensor:
            images = functional.interpolate(
                x.float(), (size, size), mode="bilinear", antialias=True
            )
            return images if x.is_floating_point() else images.round().clamp(0, 255).to(x.dtype)

        return replace(self, x_train=change(self.x_train), x_test=change(self.x_test))


class DatasetReader(ABC):
    """Reads one dataset. Registered in the entry-point group ``clbench.datasets``."""

    version: ClassVar[int] = 1
    """Raise it whenever the same files would give other arrays."""
    argument: ClassVar[str | None] = None
    """What follows the prefix, as ``FILE`` in ``npz:FILE``; None if nothing may."""

    def __init__(self, argument: str | None, data_dir: Path) -> None:
        """Keep the argument behind the prefix and the data directory."""
        self.given = argument
        self.data_dir = data_dir

    @abstractmethod
    def source(self) -> str:
        """Return a hash of what will be read, after fetching it if need be.

        Raises:
            DataError: The data are missing; says which folder was searched.
        """

    @abstractmethod
    def read(self) -> Arrays:
        """Return the arrays.

        Raises:
            DataError: The data are damaged or unsafe.
        """


def data_folder(option: str | None) -> Path:
    """Return the data directory: the option, else ``CLBENCH_DATA``, else the user's data folder."""
    chosen = option or os.environ.get("CLBENCH_DATA")
    return Path(chosen).expanduser() if chosen else platformdirs.user_data_path("clbench")


def dataset_class(name: str) -> Resolved:
    """Return the reader that a name stands for.

    Raises:
        UsageError: There is none, or it is not a `DatasetReader`.
    """
    found = resolve("datasets", name)
    check_class(found, "dataset", (DatasetReader,))
    return found


def load(name: str, data_dir: Path | None = None) -> Dataset:
    """Return the dataset ``name`` (as on the command line), from the cache if it is there.

    Raises:
        UsageError: The name is unknown or lacks what follows its prefix.
        DataError: The data are missing, damaged or unsafe.
    """
    resolved = dataset_class(name)
    wants = resolved.target.argument
    if not resolved.argument and wants:
        prefix = name.partition(":")[0]
        raise UsageError(f"dataset {prefix!r} needs {wants} behind a colon: {prefix}:{wants}")
    if resolved.argument is not None and not wants:
        raise UsageError(f"dataset {name.partition(':')[0]!r} takes nothing behind a colon")
    with blamed(f"dataset {name!r}"):
        reader: DatasetReader = resolved.target(resolved.argument, data_dir or data_folder(None))
        source = reader.source()
    if not isinstance(source, str):
        raise UsageError(
            f"dataset {name!r}: source must return a string, not {type(source).__name__}"
            f"{defined_at(type(reader).source)}"
        )
    parts = [type(reader).__qualname__, str(reader.version), resolved.source or ""]
    key = _digest([*parts, source])
    cached = cache_folder() / f"{type(reader).__name__.lower()}-{key[:20]}.safetensors"
    found = _cached(cached, name)
    if found is not None:
        return found
    with blamed(f"dataset {name!r}"):
        arrays = reader.read()
    if not isinstance(arrays, Arrays):
        raise UsageError(
            f"dataset {name!r}: read must return clbench.Arrays, not {type(arrays).__name__}"
            f"{defined_at(type(reader).read)}"
        )
    dataset = assemble(name, arrays)
    _keep(cached, dataset)
    return dataset


def _cached(path: Path, name: str) -> Dataset | None:
    """Return the cached dataset; None if it is absent or damaged."""
    try:
        tensors, facts = kept(path)
        told = {k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()}
        held: dict[str, Any] = {"name": name, **told, **tensors}
        return Dataset(**held)
    except (ValueError, KeyError, TypeError):
        return None


def _keep(path: Path, dataset: Dataset) -> None:
    facts = {key: getattr(dataset, key) for key in ("classes", "mean", "std", "hash")}
    tensors = {name: getattr(dataset, name) for name in (*_TENSORS, *_EXPERIENCES)}
    keep(path, {name: tensor for name, tensor in tensors.items() if tensor is not None}, facts)


def assemble(name: str, arrays: Arrays) -> Dataset:
    """Check the arrays and return them as a dataset.

    Raises:
        DataError: Shapes, types or labels do not fit together.
    """
    x_train, y_train = _split(name, "train", arrays.x_train, arrays.y_train, arrays.classes)
    x_test, y_test = _split(name, "test", arrays.x_test, arrays.y_test, arrays.classes)
    if x_train.shape[1:] != x_test.shape[1:] or x_train.dtype != x_test.dtype:
        raise DataError(
            f"dataset {name}: training images are {tuple(x_train.shape[1:])} {x_train.dtype},"
            f" test images {tuple(x_test.shape[1:])} {x_test.dtype}; they must agree"
        )
    mean, std = arrays.mean, arrays.std
    if mean is None or std is None:
        mean, std = _statistics(x_train)
    hashed = hashlib.sha256(json.dumps([arrays.classes, mean, std]).encode())
    experiences = _experiences(name, arrays)
    for tensor in (x_train, y_train, x_test, y_test, *experiences.values()):
        hashed.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        hashed.update(tensor.numpy().tobytes())
    digest = hashed.hexdigest()[:16]
    splits = (x_train, y_train, x_test, y_test)
    return Dataset(name, *splits, arrays.classes, mean, std, digest, **experiences)


def _experiences(name: str, arrays: Arrays) -> dict[str, Tensor]:
    """Return the experience numbers as tensors, if there are any."""
    train, test = arrays.experience_train, arrays.experience_test
    if train is None or test is None:
        return {}
    count = int(train.max()) + 1
    wrong = len(train) != len(arrays.y_train) or len(test) != len(arrays.y_test)
    if wrong or test.max() >= count or len(np.unique(train)) < count:
        raise DataError(
            f"dataset {name}: every sample needs the number of its experience, 0…T−1, and every"
            " experience a training sample"
        )
    return {
        "experience_train": torch.from_numpy(train.astype(np.int64)),
        "experience_test": torch.from_numpy(test.astype(np.int64)),
    }


def _split(
    name: str, split: str, x: NDArray[Any], y: NDArray[Any], classes: Sequence[str]
) -> tuple[Tensor, Tensor]:
    where = f"dataset {name}, {split} split"
    if x.ndim == 3:
        x = x[:, None]
    if x.ndim != 4:
        raise DataError(f"{where}: images must be [N, H, W] or [N, C, H, W], not {x.shape}")
    if not x.size:
        raise DataError(f"{where}: images of shape {x.shape} are empty")
    if y.ndim != 1 or len(y) != len(x):
        raise DataError(f"{where}: {len(x)} images but labels of shape {y.shape}")
    if x.dtype != np.uint8:
        x = _float32(where, x)
    _check_labels(where, y, classes)
    return torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(y.astype(np.int64))


def _float32(where: str, x: NDArray[Any]) -> NDArray[np.float32]:
    if x.dtype.kind != "f":
        raise DataError(f"{where}: images must be uint8 or float, not {x.dtype}")
    with np.errstate(over="ignore"):  # what is too large becomes infinite and is refused
        x = x.astype(np.float32)
    if not np.isfinite(x).all():
        raise DataError(f"{where}: images hold NaN or infinite values (as float32)")
    return x


def _check_labels(where: str, y: NDArray[Any], classes: Sequence[str]) -> None:
    if y.dtype.kind not in "iu":
        raise DataError(f"{where}: labels must be integers, not {y.dtype}")
    if y.min() < 0 or y.max() >= len(classes):
        raise DataError(
            f"{where}: labels must lie in 0…{len(classes) - 1}, one for each class;"
            f" they lie in {y.min()}…{y.max()}"
        )
    counts = np.bincount(y.astype(np.int64), minlength=len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    if empty:
        listed = ", ".join(empty[:5])
        raise DataError(f"{where}: no sample of class {listed}; every class needs one")


def _statistics(x: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel, in float64; a constant channel gets std 1."""
    scale = 255.0 if x.dtype == torch.uint8 else 1.0
    channels = [x[:, c].double() / scale for c in range(x.shape[1])]
    mean = tuple(round(float(c.mean()), 6) for c in channels)
    std = tuple(round(float(c.std(correction=0)), 6) or 1.0 for c in channels)
    return mean, std


def hash_files(paths: Iterable[Path]) -> str:
    """Return a hash of the files' contents and names."""
    parts = []
    for path in paths:
        with path.open("rb") as file:
            parts.append(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()}")
    return _digest(parts)


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
