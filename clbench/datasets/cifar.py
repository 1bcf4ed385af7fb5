"""The family of CIFAR: one archive of pickled batches.

A pickle can run any code, so a file is unpickled only if it is, bit for bit, the published one: its MD5 sum is checked
here, which names a file that differs, and once more by torchvision before it opens any.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np

from clbench.dataset import Arrays
from clbench.datasets.downloads import PublishedReader, Remote, check_published


class CifarReader(PublishedReader):
    """Reads a data set in Krizhevsky's format."""

    archive: ClassVar[str]
    folder: ClassVar[str]
    batches: ClassVar[tuple[str, ...]]
    """The folder's files that torchvision reads."""
    torchvision_name: ClassVar[str]
    mean: ClassVar[tuple[float, ...]]
    std: ClassVar[tuple[float, ...]]

    @property
    def archives(self) -> dict[str, tuple[str, ...]]:
        """The one archive."""
        return {self.archive: tuple(f"{self.folder}/{batch}" for batch in self.batches)}

    def remote(self, archive: str) -> Remote:
        """Return the archive's address."""
        published = self._torchvision()
        return Remote((published.url,), published.tgz_md5)

    def read(self) -> Arrays:
        """Check every file, then read both splits."""
        published = self._torchvision()
        sums = dict([*published.train_list, *published.test_list])
        sums[published.meta["filename"]] = published.meta["md5"]
        for batch, md5 in sums.items():
            check_published(self.data_dir / self.folder / batch, md5)
        with warnings.catch_warnings():  # NumPy 2.4.0 on NumPy 1's pickles (torchvision #9340)
            warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
            train = published(self.data_dir, train=True)
            test = published(self.data_dir, train=False)
        return Arrays(
            train.data.transpose(0, 3, 1, 2),
            np.array(train.targets),
            test.data.transpose(0, 3, 1, 2),
            np.array(test.targets),
            classes=tuple(train.classes),
            mean=self.mean,
            std=self.std,
        )

    def _torchvision(self) -> Any:
        from torchvision import datasets

        return getattr(datasets, self.torchvision_name)
