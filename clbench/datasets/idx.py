"""The family of MNIST: four IDX files per data set, in ``DATA_DIR/NAME/raw``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from clbench.dataset import Arrays
from clbench.datasets.downloads import PublishedReader, Remote, damaged


class IdxReader(PublishedReader):
    """Reads a data set in LeCun's format.

    torchvision publishes MD5 sums of the compressed files only, so those that are in place are checked by what their
    headers say.
    """

    torchvision_name: ClassVar[str]
    classes: ClassVar[tuple[str, ...]]
    mean: ClassVar[tuple[float, ...] | None] = None
    std: ClassVar[tuple[float, ...] | None] = None

    @property
    def archives(self) -> dict[str, tuple[str, ...]]:
        """The four files, each compressed on its own."""
        raw = f"{self.torchvision_name}/raw"
        files = [
            f"{raw}/{split}-{kind}-ubyte"
            for split in ("train", "t10k")
            for kind in ("images-idx3", "labels-idx1")
        ]
        return {f"{file}.gz": (file,) for file in files}

    def remote(self, archive: str) -> Remote:
        """Return every mirror of a file."""
        from torchvision import datasets

        published = getattr(datasets, self.torchvision_name)
        name = Path(archive).name
        return Remote(
            tuple(f"{mirror}{name}" for mirror in published.mirrors),
            dict(published.resources)[name],
        )

    def read(self) -> Arrays:
        """Read both splits."""
        from torchvision.datasets.mnist import read_image_file, read_label_file

        readers = (read_image_file, read_label_file) * 2
        paths = [self.data_dir / file for (file,) in self.archives.values()]
        x_train, y_train, x_test, y_test = map(_array, readers, paths)
        return Arrays(x_train, y_train, x_test, y_test, self.classes, self.mean, self.std)


def _array(read: Any, path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = read(path).numpy()
    except Exception as error:  # torchvision raises whatever its parser trips over
        raise damaged(path, str(error) or "it is no IDX file") from error
    return array
