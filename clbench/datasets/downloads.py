"""Published data sets: the files torchvision keeps, in its layout, downloaded whole or not at all.

A file is downloaded and extracted in a folder of its own beside its place, checked against torchvision's MD5 sum, and
only then renamed into place. What is in place is therefore whole, or the user's own; neither is ever overwritten.
"""

from __future__ import annotations

import io
import shutil
import socket
import sys
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock

from clbench.dataset import DatasetReader, hash_files
from clbench.errors import DataError

_TIMEOUT = 60
"""Seconds without a byte after which a server counts as gone."""
_ARCHIVES = {".gz", ".zip"}


@dataclass(frozen=True)
class Remote:
    """Where a file is published."""

    urls: tuple[str, ...]
    """Mirrors, the first choice first."""
    md5: str


class PublishedReader(DatasetReader):
    """Reads files below ``data_dir`` that are downloaded if they are not there.

    A subclass says which files, where they are published, and how they are read. torchvision takes a second to import
    and is asked only where something is downloaded or read.
    """

    title: ClassVar[str]
    """The data set's name in messages, as ``CIFAR-10``."""

    @property
    @abstractmethod
    def archives(self) -> Mapping[str, tuple[str, ...]]:
        """For every file to download, what it brings that is read; paths below ``data_dir``."""

    @abstractmethod
    def remote(self, archive: str) -> Remote:
        """Return where torchvision gets one of the `archives` from."""

    def source(self) -> str:
        """Return the files' hash; download what is not there."""
        for archive in self.archives:
            self.fetch(archive)
        return hash_files(
            self.data_dir / file for files in self.archives.values() for file in files
        )

    def present(self, archive: str) -> bool:
        """Return whether everything is there that an archive brings."""
        return all((self.data_dir / file).is_file() for file in self.archives[archive])

    def fetch(self, archive: str) -> None:
        """Download and extract an archive if something of what it brings is missing.

        Raises:
            DataError: That failed; says why and which folder was searched.
        """
        if self.present(archive):
            return
        place = (self.data_dir / archive).parent
        try:
            place.mkdir(parents=True, exist_ok=True)
            with FileLock(place / ".clbench-download.lock"):  # others wait, and find the files
                if not self.present(archive):
                    self._fetch(archive)
        except DataError:
            raise
        except Exception as error:  # no network, full disk, no permission
            reason = (str(error) or repr(error)).split("\n")[0]
            wanted = ", ".join(Path(archive).name for archive in self.archives)
            raise DataError(
                f"{self.title} is not (or not completely) in {place} and could not be downloaded"
                f" ({reason}); put {wanted} there, or name another folder with --data-dir or"
                " CLBENCH_DATA"
            ) from error

    def _fetch(self, archive: str) -> None:
        from torchvision.datasets.utils import extract_archive

        target = self.data_dir / archive
        staging = target.parent / ".clbench-download"
        remote = self.remote(archive)
        shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
        staging.mkdir()
        try:
            if target.is_file():
                check_published(target, remote.md5)
            else:
                _download(remote, staging / target.name)
            if target.suffix in _ARCHIVES:
                whole = target if target.is_file() else staging / target.name
                extract_archive(whole, staging)
            _move_in(staging, target.parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def check_published(path: Path, md5: str) -> None:
    """Refuse a file that is not, bit for bit, the published one.

    Raises:
        DataError: Names the file.
    """
    from torchvision.datasets.utils import check_integrity

    if not check_integrity(path, md5):
        raise damaged(path, "its MD5 sum is not the published one")


def damaged(path: Path, reason: object) -> DataError:
    """Return the error for a file that is there and cannot be used; deleting it is left to the user."""
    return DataError(f"{path} is damaged ({reason}); delete it to download it again")


def _download(remote: Remote, target: Path) -> None:
    """Download a file from the first mirror that has it whole; ask one that delivers it damaged once more.

    Raises:
        ConnectionError: No mirror had it; says what each did.
    """
    failures = []
    for url in remote.urls:
        for _ in range(2):
            failure = _try(url, target, remote.md5)
            if failure is None:
                return
            if not target.exists():  # the server cannot be reached or does not have it
                break
            target.unlink()
        failures.append(f"{url}: {failure}")
    raise ConnectionError("; ".join(failures))


def _try(url: str, target: Path, md5: str) -> str | None:
    """Download a file; return what went wrong."""
    from torchvision.datasets.utils import download_url

    sys.stderr.write(f"Downloading {url}\n")
    try:
        with _bar_on_a_terminal(), _timeout():
            download_url(url, target.parent, target.name, md5)
    except RuntimeError:  # torchvision's word for a checksum that is not the published one
        return "arrived truncated or with a wrong checksum, twice"
    except Exception as error:  # urllib, http, ssl and the file system have a type each
        return str(error) or repr(error)
    return None


@contextmanager
def _bar_on_a_terminal() -> Iterator[None]:
    """Keep torchvision off stdout, and its bar out of log files."""
    shown: Any = sys.stderr if sys.stderr.isatty() else io.StringIO()
    with redirect_stdout(shown), redirect_stderr(shown):
        yield


@contextmanager
def _timeout() -> Iterator[None]:
    """Let no server keep us waiting for ever; torchvision sets no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _move_in(folder: Path, goal: Path) -> None:
    """Rename what a folder holds into another one, leaving alone what is there already."""
    for path in folder.iterdir():
        if path.is_dir() and (goal / path.name).is_dir():
            _move_in(path, goal / path.name)
        elif not (goal / path.name).exists():
            path.rename(goal / path.name)
