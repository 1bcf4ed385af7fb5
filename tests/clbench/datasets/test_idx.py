"""The family of MNIST, on small IDX files; MNIST itself where it is there."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from clbench.dataset import data_folder, load
from clbench.datasets.mnist import MNIST
from clbench.errors import DataError
from clbench.stream import normalisation
from tests.clbench.datasets.published import Server, idx

Publish = Callable[[str], Server]
pytestmark = pytest.mark.usefixtures("cache")

CLOTHES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
]


@pytest.mark.parametrize(
    ("name", "classes", "statistics"),
    [
        ("mnist", list("0123456789"), ((0.1307,), (0.3081,))),
        ("fashion-mnist", [*CLOTHES, "Ankle boot"], ((0.2860,), (0.3530,))),
        ("kmnist", ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"], None),
    ],
)
def test_images_labels_and_names(
    publish: Publish, tmp_path: Path, name: str, classes: list[str], statistics: Any
) -> None:
    server = publish(name)
    data = load(name, tmp_path)
    assert data.shape == (1, 28, 28)
    assert list(data.classes) == classes
    assert data.y_train.tolist() == [*range(10), *range(10)]
    assert data.y_test.tolist() == list(range(10))
    for images, file in ((data.x_train, "train"), (data.x_test, "t10k")):
        content = gzip.decompress(server.files[f"{file}-images-idx3-ubyte.gz"])
        assert images.numpy().tobytes() == content[16:]
    pixels = data.x_train.double() / 255
    computed = ((float(pixels.mean()),), (float(pixels.std(correction=0)),))
    for ours, wanted in zip((data.mean, data.std), statistics or computed, strict=True):
        assert ours == pytest.approx(wanted, abs=1e-6)


def test_mnist_32_is_mnist_in_a_frame_of_zeros(publish: Publish, tmp_path: Path) -> None:
    publish("mnist")
    small, large = load("mnist", tmp_path), load("mnist-32", tmp_path)
    assert large.shape == (1, 32, 32)
    for split in ("x_train", "x_test"):
        assert getattr(large, split).equal(pad(getattr(small, split), (2, 2, 2, 2)))
    assert large.y_train.equal(small.y_train)
    assert (large.mean, large.std) == ((0.1,), (0.2752,))
    assert large.hash != small.hash


def test_mnist_raw_is_mnist_with_pixels_from_0_to_1(publish: Publish, tmp_path: Path) -> None:
    publish("mnist")
    usual, raw = load("mnist", tmp_path), load("mnist-raw", tmp_path)
    assert raw.x_train.equal(usual.x_train)
    pixels = normalisation(raw, torch.device("cpu"))(raw.x_test)
    assert pixels.equal(usual.x_test / 255)
    assert raw.hash != usual.hash


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x00\x08\x03nothing",
        idx(np.zeros((20, 28, 28)))[:-1],
        idx(np.zeros((20, 28, 28))) + b"more",
        idx(np.arange(20) % 10),
    ],
)
def test_a_file_that_is_no_idx_file_is_named(
    publish: Publish, tmp_path: Path, content: bytes
) -> None:
    publish("mnist")
    load("mnist", tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged") as caught:
        load("mnist", tmp_path)
    assert str(path) in str(caught.value)


def test_what_old_versions_of_torchvision_left_is_not_read(
    publish: Publish, tmp_path: Path
) -> None:
    """They kept tensors in ``processed``, which torchvision still prefers to the files we hash."""
    publish("mnist")
    before = load("mnist", tmp_path).hash
    processed = tmp_path / "MNIST" / "processed"
    processed.mkdir()
    for file in ("training.pt", "test.pt"):
        (processed / file).write_bytes(b"no tensor")
    (tmp_path / "deep").rename(tmp_path / "another cache")
    assert load("mnist", tmp_path).hash == before


@pytest.mark.parametrize("name", ["mnist", "mnist-32"])
def test_real_mnist(name: str) -> None:
    folder = data_folder(None)
    reader = MNIST(None, folder)
    if not all(map(reader.present, reader.archives)):
        pytest.skip(f"MNIST is not in {folder}; point CLBENCH_DATA to it")
    data = load(name)
    assert len(data.x_train) == 60_000
    assert len(data.x_test) == 10_000
    assert data.y_train[:5].tolist() == [5, 0, 4, 1, 9]
    pixels = data.x_train.double() / 255
    assert float(pixels.mean()) == pytest.approx(data.mean[0], abs=1e-4)
    assert float(pixels.std()) == pytest.approx(data.std[0], abs=1e-4)
