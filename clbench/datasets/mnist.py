"""70,000 grey 28×28 images of handwritten digits; downloaded on first use through torchvision.

LeCun, Bottou, Bengio & Haffner 1998, 60,000 training and 10,000 test images, 10 classes.
"""

from __future__ import annotations

from pathlib import Path

from clbench.dataset import Arrays, DatasetReader, hash_files
from clbench.errors import DataError

_FILES = tuple(
    f"{split}-{kind}-ubyte"
    for split in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)


class MNIST(DatasetReader):
    """MNIST from ``DATA_DIR/MNIST/raw``, as torchvision lays it out."""

    def source(self) -> str:
        """Return the files' hash; download them if they are not there."""
        if not all(path.is_file() for path in self._paths()):
            self._download()
        return hash_files(self._paths())

    def read(self) -> Arrays:
        """Read both splits."""
        from torchvision import datasets

        try:
            train = datasets.MNIST(self.data_dir, train=True, download=False)
            test = datasets.MNIST(self.data_dir, train=False, download=False)
        except Exception as error:  # torchvision raises whatever its parser trips over
            raise DataError(
                f"MNIST in {self.data_dir / 'MNIST' / 'raw'} is damaged ({error});"
                " delete the folder to download it again"
            ) from error
        return Arrays(
            train.data.numpy(),
            train.targets.numpy(),
            test.data.numpy(),
            test.targets.numpy(),
            classes=tuple("0123456789"),
            mean=(0.1307,),
            std=(0.3081,),
        )

    def _paths(self) -> list[Path]:
        return [self.data_dir / "MNIST" / "raw" / name for name in _FILES]

    def _download(self) -> None:
        from torchvision import datasets

        try:
            datasets.MNIST(self.data_dir, download=True)
        except Exception as error:  # no network, full disk, a mirror's nonsense
            reason = str(error).split("\n")[0].rstrip(":")
            raise DataError(
                f"MNIST is not in {self.data_dir / 'MNIST' / 'raw'} and could not be downloaded"
                f" ({type(error).__name__}: {reason}); put its files there,"
                " or name another folder with --data-dir or CLBENCH_DATA"
            ) from error
