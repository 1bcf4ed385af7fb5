"""Datasets: checked arrays, content hashes, the cache, and the built-in readers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clbench.dataset import Arrays, Dataset, assemble, load
from clbench.dataset_cache import cache_folder
from clbench.datasets.digits import Digits
from clbench.errors import DataError, UsageError

GENERATOR = np.random.default_rng(0)
X = GENERATOR.integers(0, 256, (6, 5, 4), dtype=np.uint8)
Y = np.array([0, 1, 2, 0, 1, 2])
TENSORS = ("x_train", "y_train", "x_test", "y_test")


def arrays(**changes: Any) -> Arrays:
    """Return valid arrays of three classes, with changes."""
    return dataclasses.replace(Arrays(X, Y, X[:3], Y[:3], ("a", "b", "c")), **changes)


def same(a: Dataset, b: Dataset) -> bool:
    """Return whether two datasets are equal in everything."""
    tensors = all(torch.equal(getattr(a, name), getattr(b, name)) for name in TENSORS)
    facts = ("name", "classes", "mean", "std", "hash", "shape")
    return tensors and all(getattr(a, fact) == getattr(b, fact) for fact in facts)


# Digits.


def test_digits() -> None:
    digits = load("digits")
    assert digits.shape == (1, 8, 8)
    assert digits.x_train.shape == (1437, 1, 8, 8)
    assert digits.x_test.shape == (360, 1, 8, 8)
    assert digits.x_train.dtype == digits.x_test.dtype == torch.uint8
    assert digits.classes == tuple("0123456789")
    assert (int(digits.x_train.min()), int(digits.x_train.max())) == (0, 255)
    test = digits.y_test.bincount().tolist()
    train = digits.y_train.bincount().tolist()
    assert max(test) - min(test) <= 2
    for a, b in zip(train, test, strict=True):  # stratified
        assert b == pytest.approx((a + b) * 360 / 1797, abs=1)
    assert digits.hash == "90a8542686e179c0"  # another split or scale would change every result


def test_digits_are_scikit_learns_images() -> None:
    from sklearn.datasets import load_digits

    digits = load("digits")
    ours = torch.cat([digits.x_train, digits.x_test]).flatten(1)
    labels = torch.cat([digits.y_train, digits.y_test]).tolist()
    original = load_digits()
    scaled = np.round(original.data * 255 / 16).astype(np.uint8).tolist()
    expected = sorted(zip(map(tuple, scaled), original.target.tolist(), strict=True))
    assert sorted(zip(map(tuple, ours.tolist()), labels, strict=True)) == expected


# Arrays.


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": X[0]}, ["train split", "[N, H, W]"]),
        ({"x_train": X[None, None]}, ["train split", "[N, C, H, W]"]),
        ({"y_test": Y}, ["test split", "3 images", "(6,)"]),
        ({"y_train": Y[:, None]}, ["train split", "(6, 1)"]),
        ({"x_train": X.astype(np.int64)}, ["uint8 or float", "int64"]),
        ({"x_train": X > 9}, ["uint8 or float", "bool"]),
        ({"x_train": np.full(X.shape, np.nan)}, ["train split", "NaN"]),
        ({"x_test": np.full((3, 5, 4), np.inf, np.float32)}, ["test split", "infinite"]),
        ({"x_test": X[:3, :4]}, ["(1, 5, 4)", "(1, 4, 4)", "agree"]),
        ({"x_test": X[:3].astype(np.float32)}, ["uint8", "float32", "agree"]),
        ({"y_train": Y % 2}, ["train split", "no sample of class c"]),
        ({"y_test": Y[:3] * 0}, ["test split", "no sample of class b, c"]),
        ({"classes": tuple("abcd")}, ["no sample of class d"]),
        ({"classes": tuple("ab")}, ["train split", "0…1", "0…2"]),
        ({"y_train": Y - 1}, ["train split", "0…2", "-1…1"]),
        ({"y_train": Y + 0.5}, ["train split", "integers", "float64"]),
        ({"y_train": Y.astype(str)}, ["train split", "integers"]),
        ({"y_test": Y[:3].astype(np.uint64) + 2**63}, ["test split", "0…2"]),
        ({"x_train": X[:0], "y_train": Y[:0], "classes": ()}, ["train split", "empty"]),
        ({"x_train": X[:, :0], "x_test": X[:3, :0]}, ["train split", "empty"]),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        assemble("mine", arrays(**changes))
    assert all(word in str(caught.value) for word in ["mine", *words]), caught.value


def test_values_too_large_for_float32_are_refused() -> None:
    with pytest.raises(DataError, match="infinite"):
        assemble("mine", arrays(x_train=X * 1e300, x_test=X[:3] * 1.0))


def test_statistics_are_of_the_training_images_by_channel() -> None:
    x = GENERATOR.random((6, 3, 5, 4))
    data = assemble("mine", arrays(x_train=x, x_test=x[:3] * 0))
    assert data.mean == pytest.approx(x.mean((0, 2, 3)), abs=1e-5)
    assert data.std == pytest.approx(x.std((0, 2, 3)), abs=1e-5)
    grey = assemble("mine", arrays())
    assert grey.mean == pytest.approx((X.mean() / 255,), abs=1e-5)
    constant = assemble("mine", arrays(x_train=X * 0, x_test=X[:3] * 0))
    assert (constant.mean, constant.std) == ((0.0,), (1.0,))
    given = assemble("mine", arrays(mean=(0.1,), std=(0.2,)))
    assert (given.mean, given.std) == ((0.1,), (0.2,))


def test_the_hash_is_of_the_content_and_nothing_else() -> None:
    original = assemble("mine", arrays())
    assert assemble("yours", arrays()).hash == original.hash
    other_pixel = X.copy()
    other_pixel[5, 4, 3] ^= 1
    changes: list[dict[str, Any]] = [
        {"x_train": other_pixel},
        {"x_test": other_pixel[3:]},
        {"y_train": Y[::-1].copy()},
        {"classes": ("a", "b", "d")},
        {"mean": (0.1,), "std": (0.2,)},
        {"x_train": X.reshape(6, 4, 5), "x_test": X[:3].reshape(3, 4, 5)},
        {"x_train": X.astype(np.float32), "x_test": X[:3].astype(np.float32)},
    ]
    hashes = {assemble("mine", arrays(**change)).hash for change in changes}
    assert len(hashes | {original.hash}) == len(changes) + 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digit", ["unknown dataset", "Did you mean 'digits'"]),
        ("npz", ["npz:FILE"]),
        ("npz:", ["npz:FILE"]),
        ("folder", ["folder:DIR|ZIP"]),
        ("digits:x", ["nothing behind a colon"]),
    ],
)
def test_wrong_names(name: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        load(name)
    assert all(word in str(caught.value) for word in words)


# The cache.


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows whenever digits are read."""
    calls: list[str] = []
    original = Digits.read

    def read(self: Digits) -> Arrays:
        calls.append("read")
        return original(self)

    monkeypatch.setattr(Digits, "read", read)
    return calls


def test_the_second_load_comes_from_the_cache(cache: Path, reads: list[str]) -> None:
    assert cache_folder() == cache
    first, second = load("digits"), load("digits")
    assert reads == ["read"]
    assert same(first, second)
    (file,) = cache.iterdir()
    assert file.suffix == ".safetensors"  # nothing temporary is left


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "folder"])
def test_a_damaged_cache_is_read_anew(cache: Path, reads: list[str], damage: str) -> None:
    first = load("digits")
    (file,) = cache.iterdir()
    content = file.read_bytes()
    if damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes({"cut": content[:-100], "empty": b"", "garbage": b"\x80" * 999}[damage])
    assert same(load("digits"), first)
    assert reads == ["read", "read"]
    if damage != "folder":
        assert same(load("digits"), first)  # and the cache is whole again
        assert len(reads) == 2


def test_without_a_cache_folder_it_goes_on(cache: Path, reads: list[str]) -> None:
    cache.parent.mkdir()
    cache.write_text("a file in its place")
    assert same(load("digits"), load("digits"))
    assert len(reads) == 2
    assert cache.read_text() == "a file in its place"


def test_another_version_of_the_reader_reads_anew(
    cache: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load("digits")
    monkeypatch.setattr(Digits, "version", 99)
    load("digits")
    assert len(reads) == len(list(cache.iterdir())) == 2
