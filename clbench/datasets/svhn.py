"""99,289 colour 32×32 images of house numbers' digits; downloaded on first use through torchvision.

Street View House Numbers, cropped digits, Netzer et al. 2011, 73,257 training and 26,032 test images (the 531,131
extra ones are left out), 10 classes. Normalised with the usual means .4377, .4438, .4728 and standard deviations
.1980, .2010, .1970.
"""

from __future__ import annotations

from typing import Any

from clbench.dataset import Arrays
from clbench.datasets.downloads import PublishedReader, Remote, check_published


class SVHN(PublishedReader):
    """SVHN from ``DATA_DIR/train_32x32.mat`` and ``test_32x32.mat``."""

    title = "SVHN"

    @property
    def archives(self) -> dict[str, tuple[str, ...]]:
        """A file per split."""
        return {name: (name,) for name in ("train_32x32.mat", "test_32x32.mat")}

    def remote(self, archive: str) -> Remote:
        """Return a split's address."""
        url, _, md5 = self._published()[archive.partition("_")[0]]
        return Remote((url,), md5)

    def read(self) -> Arrays:
        """Check both files, then read them."""
        from torchvision import datasets

        for archive in self.archives:
            check_published(self.data_dir / archive, self.remote(archive).md5)
        train, test = (datasets.SVHN(self.data_dir, split) for split in ("train", "test"))
        return Arrays(
            train.data,
            train.labels,
            test.data,
            test.labels,
            classes=tuple("0123456789"),
            mean=(0.4377, 0.4438, 0.4728),
            std=(0.1980, 0.2010, 0.1970),
        )

    def _published(self) -> Any:
        from torchvision import datasets

        return datasets.SVHN.split_list
