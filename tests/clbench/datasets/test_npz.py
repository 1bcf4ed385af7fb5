"""`npz:FILE`: a user's own arrays, and every way they can be wrong or unsafe."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clbench.dataset import Dataset, load
from clbench.datasets import archives
from clbench.errors import DataError

GENERATOR = np.random.default_rng(0)
GREY = GENERATOR.integers(0, 256, (8, 5, 4), dtype=np.uint8)
COLOUR = GENERATOR.integers(0, 256, (8, 5, 4, 3), dtype=np.uint8)
Y = np.array([0, 1, 2, 0, 1, 2, 0, 1])


def saved(path: Path, leave_out: str = "", **changes: Any) -> str:
    """Save a valid file with changes and return its name for `load`."""
    keys: dict[str, Any] = {"x_train": GREY, "y_train": Y, "x_test": GREY[:4], "y_test": Y[:4]}
    keys |= changes
    keys.pop(leave_out, None)
    np.savez(path / "mine.npz", **keys)
    return f"npz:{path / 'mine.npz'}"


def refusal(name: str) -> str:
    """Return the sentence that refuses a file; it names the file."""
    with pytest.raises(DataError) as caught:
        load(name)
    sentence = str(caught.value)
    assert name.removeprefix("npz:") in sentence
    assert caught.value.exit_code == 1
    return sentence


def images(data: Dataset) -> np.ndarray[Any, Any]:
    """Return the training images."""
    return data.x_train.numpy()


def test_grey_images_without_a_channel(tmp_path: Path) -> None:
    data = load(saved(tmp_path))
    assert data.x_train.dtype == torch.uint8
    np.testing.assert_array_equal(images(data), GREY[:, None])
    np.testing.assert_array_equal(data.x_test.numpy(), GREY[:4, None])
    assert data.y_train.tolist() == Y.tolist()
    assert data.classes == ("0", "1", "2")
    assert data.name == f"npz:{tmp_path / 'mine.npz'}"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("last", [True, False])
def test_channels_first_and_last(tmp_path: Path, channels: int, last: bool) -> None:
    x = COLOUR[..., :channels]
    given = x if last else x.transpose(0, 3, 1, 2)
    data = load(saved(tmp_path, x_train=given, x_test=given[:4]))
    assert data.shape == (channels, 5, 4)
    np.testing.assert_array_equal(images(data), x.transpose(0, 3, 1, 2))


def test_an_ambiguous_shape_is_read_channels_first(tmp_path: Path) -> None:
    x = GENERATOR.integers(0, 256, (8, 3, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(images(load(saved(tmp_path, x_train=x, x_test=x[:4]))), x)


@pytest.mark.parametrize("shape", [(8, 5, 4, 4), (8, 4, 5, 6), (8, 2, 5, 4), (8, 5, 4, 2)])
def test_other_numbers_of_channels_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    x = np.zeros(shape, np.uint8)
    sentence = refusal(saved(tmp_path, x_train=x, x_test=x[:4]))
    words = ("x_train", str(shape), "[N, H, W]", "[N, C, H, W]", "[N, H, W, C]", "1 or 3 channels")
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_images_keep_their_values(tmp_path: Path, dtype: Any) -> None:
    x = (GREY / 256 - 3).astype(dtype)
    data = load(saved(tmp_path, x_train=x, x_test=x[:4]))
    assert data.x_train.dtype == torch.float32
    np.testing.assert_array_equal(images(data), x[:, None].astype(np.float32))


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (("cat", "dog", "ant"), ("ant", "cat", "dog")),
        ((7, -1, 300), ("-1", "7", "300")),
        ((10, 9, 2), ("2", "9", "10")),
        (np.array([5, 200, 0], np.uint8), ("0", "5", "200")),
    ],
)
def test_labels_of_any_name_are_numbered_in_sorted_order(
    tmp_path: Path, values: Any, classes: tuple[str, ...]
) -> None:
    y = np.asarray(values)[Y]
    data = load(saved(tmp_path, y_train=y, y_test=y[:4]))
    assert data.classes == classes
    assert [data.classes[i] for i in data.y_train] == [str(label) for label in y]


def test_a_compressed_file_and_other_keys_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, x_train=GREY, y_train=Y, x_test=GREY, y_test=Y, note=np.array("hi"))
    assert load(f"npz:{path}").x_train.shape == (8, 1, 5, 4)


def test_the_hash_does_not_depend_on_the_path(tmp_path: Path) -> None:
    first = load(saved(tmp_path))
    (tmp_path / "other").mkdir()
    second = load(saved(tmp_path / "other"))
    assert first.hash == second.hash
    assert first.hash != load(saved(tmp_path, x_test=GREY[4:])).hash


# What is refused.


def test_a_missing_file(tmp_path: Path) -> None:
    assert "there is no file" in refusal(f"npz:{tmp_path / 'none.npz'}")
    assert "there is no file" in refusal(f"npz:{tmp_path}")


@pytest.mark.parametrize("key", ["x_train", "y_train", "x_test", "y_test"])
def test_a_missing_key(tmp_path: Path, key: str) -> None:
    assert f"lacks {key}" in refusal(saved(tmp_path, leave_out=key))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_test": np.array([0, 1, 2, 9])}, ["label 9", "y_test", "no training sample"]),
        ({"y_test": np.array(["0", "1", "2", "0"])}, ["y_test"]),
        ({"y_test": Y[:4] * 0}, ["test split", "no sample of class 1"]),
        ({"y_train": Y * 0.5}, ["y_train", "integers or strings", "float64"]),
        ({"y_train": Y > 0}, ["y_train", "integers or strings", "bool"]),
        ({"y_train": Y[:, None]}, ["y_train", "vector", "(8, 1)"]),
        ({"y_train": np.int64(3)}, ["y_train", "vector"]),
        ({"y_train": Y[:5]}, ["train split", "8 images", "(5,)"]),
        ({"x_train": GREY[0]}, ["train split", "[N, H, W]"]),
        ({"x_train": np.uint8(3)}, ["train split"]),
        ({"x_train": GREY.astype(np.int32)}, ["uint8 or float", "int32"]),
        ({"x_train": GREY.astype(str)}, ["uint8 or float"]),
        ({"x_train": np.where(GREY[3, 2, 1] == GREY, np.nan, GREY)}, ["train split", "NaN"]),
        ({"x_test": COLOUR[:4]}, ["(1, 5, 4)", "(3, 5, 4)"]),
        ({"x_test": GREY[:4, :3]}, ["(1, 5, 4)", "(1, 3, 4)"]),
        ({"x_train": GREY[:0], "y_train": Y[:0]}, ["y_test", "no training sample"]),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    sentence = refusal(saved(tmp_path, **changes))
    assert all(word in sentence for word in words), sentence


def test_empty_arrays(tmp_path: Path) -> None:
    empty: dict[str, Any] = {
        "x_train": GREY[:0],
        "x_test": GREY[:0],
        "y_train": Y[:0],
        "y_test": Y[:0],
    }
    refusal(saved(tmp_path, **empty))


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def test_the_payload_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "planted")))
    assert (tmp_path / "planted").exists()


@pytest.mark.parametrize("key", ["x_train", "y_train", "x_test", "y_test"])
def test_pickled_objects_are_refused_and_not_unpickled(tmp_path: Path, key: str) -> None:
    objects = np.array([Payload(tmp_path / "planted")] * 8, dtype=object)
    changes: dict[str, Any] = {key: objects}
    sentence = refusal(saved(tmp_path, **changes))
    assert "pickled" in sentence
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("as_member", [True, False])
def test_a_pickle_in_a_files_place_is_not_unpickled(tmp_path: Path, as_member: bool) -> None:
    path = tmp_path / "mine.npz"
    content = pickle.dumps(Payload(tmp_path / "planted"))
    if as_member:
        with zipfile.ZipFile(path, "w") as archive:
            for key in ("x_train", "y_train", "x_test", "y_test"):
                archive.writestr(f"{key}.npy", content)
    else:
        path.write_bytes(content)
    sentence = refusal(f"npz:{path}")
    assert ("x_train is not a NumPy array" in sentence) == as_member
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "flipped"])
def test_a_damaged_file(tmp_path: Path, damage: str) -> None:
    name = saved(tmp_path)
    path = Path(name.removeprefix("npz:"))
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[content.index(GREY.tobytes())] ^= 255
    path.write_bytes(
        {"empty": b"", "text": b"x_train", "cut": content[:-50], "flipped": bytes(flipped)}[damage]
    )
    assert "not a readable .npz file" in refusal(name)


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    buffer = io.BytesIO()
    np.save(buffer, GREY)
    path.write_bytes(buffer.getvalue())
    assert "not a readable .npz file" in refusal(f"npz:{path}")


def test_a_file_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.zeros((8, 100, 100), np.uint8)
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, x_train=x, y_train=Y, x_test=x, y_test=Y)
    assert path.stat().st_size < 5000
    monkeypatch.setattr(archives, "UNPACKED_LIMIT", 100_000)
    assert "unpacks to" in refusal(f"npz:{path}")
    monkeypatch.setattr(archives, "UNPACKED_LIMIT", 200_000)
    assert load(f"npz:{path}").shape == (1, 100, 100)
