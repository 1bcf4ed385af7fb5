"""Avalanche, imported once per process and only where a test needs it: that takes seconds."""

from __future__ import annotations

import pytest

from clbench.avalanche.importing import import_avalanche


@pytest.fixture(autouse=True, scope="session")
def _avalanche() -> None:
    import_avalanche()
