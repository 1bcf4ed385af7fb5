"""The family of CIFAR, on small batches pickled as the published ones are."""

from __future__ import annotations

import io
import pickle
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clbench.dataset import load
from clbench.errors import DataError
from tests.clbench.datasets.published import Server

Publish = Callable[[str], Server]
pytestmark = pytest.mark.usefixtures("cache")


def batch(server: Server, archive: str, member: str) -> dict[str, Any]:
    """Return what a batch holds."""
    with tarfile.open(fileobj=io.BytesIO(server.files[archive])) as tar:
        file = tar.extractfile(member)
        assert file is not None
        found: dict[str, Any] = pickle.load(file, encoding="latin1")
        return found


def test_cifar10(publish: Publish, tmp_path: Path) -> None:
    server = publish("cifar10")
    data = load("cifar10", tmp_path)
    assert data.shape == (3, 32, 32)
    assert data.classes == tuple(f"class {i}" for i in range(10))
    assert data.y_train.tolist() == [*range(10)] * 5
    for number in range(5):
        file = f"cifar-10-batches-py/data_batch_{number + 1}"
        rows = batch(server, "cifar-10-python.tar.gz", file)["data"]
        images = data.x_train[10 * number : 10 * number + 10]
        assert images.flatten(1).tolist() == rows.tolist()  # red, green, blue, row by row
    assert data.mean == (0.4914, 0.4822, 0.4465)
    assert data.std == (0.2470, 0.2435, 0.2616)


def test_cifar100_has_its_fine_classes(publish: Publish, tmp_path: Path) -> None:
    server = publish("cifar100")
    data = load("cifar100", tmp_path)
    assert len(data.classes) == 100
    rows = batch(server, "cifar-100-python.tar.gz", "cifar-100-python/test")["data"]
    assert data.x_test.flatten(1).tolist() == rows.tolist()
    assert data.y_test.tolist() == list(range(100))
    assert data.mean == (0.5071, 0.4865, 0.4409)


def test_a_warning_about_old_pickles_stays_in(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy 2.4.0 warns; here every warning is an error."""
    from torchvision.datasets import cifar

    publish("cifar10")
    original = pickle.load

    def warning(file: Any, encoding: str) -> Any:
        warnings.warn("align", np.exceptions.VisibleDeprecationWarning, stacklevel=2)
        return original(file, encoding=encoding)

    monkeypatch.setattr(cifar.pickle, "load", warning)
    load("cifar10", tmp_path)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("which", range(7))
def test_nothing_but_the_published_files_is_unpickled(
    publish: Publish, tmp_path: Path, name: str, which: int
) -> None:
    publish(name)
    load(name, tmp_path)
    paths = sorted(path for path in tmp_path.glob("cifar-*/*") if path.suffix != ".html")
    path = paths[which % len(paths)]
    path.write_bytes(pickle.dumps(Payload(tmp_path / "planted")))
    with pytest.raises(DataError, match="MD5") as caught:
        load(name, tmp_path)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "planted").exists()
    pickle.loads(path.read_bytes())
    assert (tmp_path / "planted").exists()  # the payload works
