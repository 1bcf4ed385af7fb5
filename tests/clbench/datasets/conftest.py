"""A local server in the place of the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clbench.datasets.published import PUBLISH, Server


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache folder that does not exist yet."""
    monkeypatch.setenv("CLBENCH_CACHE", str(tmp_path / "deep" / "cache"))
    return tmp_path / "deep" / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Return a running server that publishes nothing yet."""
    monkeypatch.setenv("no_proxy", "*")
    running = Server()
    yield running
    running.close()


@pytest.fixture
def publish(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Server]:
    """Return a function that publishes a small data set in the place of the one called ``name``."""

    def put(name: str) -> Server:
        PUBLISH[name](server, monkeypatch)
        return server

    return put
