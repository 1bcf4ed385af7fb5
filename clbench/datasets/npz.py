"""`npz:FILE`: your own arrays x_train, y_train, x_test, y_test in a NumPy archive.

Images are uint8 or float, [N, H, W], [N, C, H, W] or [N, H, W, C] with 1 or 3 channels; labels are any integers or
strings. Pickled objects are refused, never unpickled.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from clbench.dataset import Arrays, DatasetReader, hash_files
from clbench.datasets.archives import check_size
from clbench.errors import DataError

_KEYS = ("x_train", "y_train", "x_test", "y_test")


class Npz(DatasetReader):
    """Arrays from one ``.npz`` file."""

    argument: ClassVar[str | None] = "FILE"

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.given or "").expanduser()

    def source(self) -> str:
        """Return the file's hash."""
        if not self.path.is_file():
            raise DataError(f"there is no file {self.path.absolute()}")
        return hash_files([self.path])

    def read(self) -> Arrays:
        """Read and check the four arrays; labels become 0…K−1 in sorted order."""
        arrays = self._arrays()
        y_train, y_test = arrays["y_train"], arrays["y_test"]
        for key in ("y_train", "y_test"):
            if arrays[key].ndim != 1 or arrays[key].dtype.kind not in "iuU":
                raise DataError(
                    f"{self.path}: {key} must be a vector of integers or strings, not"
                    f" {arrays[key].dtype} of shape {arrays[key].shape}"
                )
        names = np.unique(y_train)
        strange = np.setdiff1d(y_test, names)
        if len(strange):
            raise DataError(
                f"{self.path}: label {strange[0]!s} is in y_test but has no training sample"
            )
        return Arrays(
            self._channels_first("x_train", arrays["x_train"]),
            np.searchsorted(names, y_train),
            self._channels_first("x_test", arrays["x_test"]),
            np.searchsorted(names, y_test),
            tuple(str(name) for name in names),
        )

    def _arrays(self) -> dict[str, NDArray[Any]]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                check_size(self.path, archive)
            with np.load(self.path, allow_pickle=False) as file:
                missing = [key for key in _KEYS if key not in file]
                if missing:
                    raise DataError(
                        f"{self.path} lacks {', '.join(missing)}; it needs {', '.join(_KEYS)}"
                    )
                return {key: self._array(key, file[key]) for key in _KEYS}
        except DataError:
            raise
        except Exception as error:  # numpy and zipfile raise many types for a damaged file
            if "allow_pickle" in str(error):
                raise DataError(
                    f"{self.path} holds pickled objects, which could run any code; they are"
                    " refused. Save plain numeric arrays"
                ) from None
            raise DataError(f"{self.path} is not a readable .npz file: {error}") from error

    def _array(self, key: str, member: Any) -> NDArray[Any]:
        """Return a member of the archive; numpy gives the bytes of one that holds no array."""
        if not isinstance(member, np.ndarray):
            raise DataError(f"{self.path}: {key} is not a NumPy array")
        return member

    def _channels_first(self, key: str, x: NDArray[Any]) -> NDArray[Any]:
        """Move a trailing channel axis to the front where only that reading makes sense."""
        if x.ndim != 4 or x.shape[1] in (1, 3):
            return x
        if x.shape[3] in (1, 3):
            return np.moveaxis(x, -1, 1)
        raise DataError(
            f"{self.path}: {key} is of shape {x.shape}; images must be [N, H, W], [N, C, H, W] or"
            " [N, H, W, C] with 1 or 3 channels"
        )
