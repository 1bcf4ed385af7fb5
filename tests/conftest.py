"""What every test relies on: one thread, a cache of this call's own, repeatable examples."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

settings.register_profile("clbench", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("clbench")


@pytest.fixture(scope="session", autouse=True)
def _machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One torch thread, and a cache folder that is gone afterwards; pytest's workers share it."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLBENCH_CACHE", str(shared / "cache"))
        yield
