"""Safety of archives a user brings: nothing leaves its folder, nothing unpacks without a limit."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from clbench.errors import DataError

UNPACKED_LIMIT = 16 * 2**30
"""Bytes; an archive that says it unpacks to more is refused."""


def check_size(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive that unpacks to more than the limit.

    Raises:
        DataError: Says how much it would unpack to.
    """
    size = sum(member.file_size for member in archive.infolist())
    if size > UNPACKED_LIMIT:
        raise DataError(
            f"{path} unpacks to {size / 2**30:.1f} GiB; at most"
            f" {UNPACKED_LIMIT / 2**30:.1f} GiB are read"
        )


def check_members(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive with a member outside its own folder.

    Raises:
        DataError: Names the member.
    """
    for name in archive.namelist():
        parts = PurePosixPath(name.replace("\\", "/"))
        drive = any(":" in part for part in parts.parts[:1])  # "./" has no part at all
        if parts.is_absolute() or ".." in parts.parts or drive:
            raise DataError(f"{path}: member {name!r} leaves the archive's folder; refused")
