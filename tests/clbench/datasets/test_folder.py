"""`folder:DIR` and `folder:FILE.zip`: class folders of images, and every way they can be wrong."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clbench.dataset import Dataset, load
from clbench.datasets import archives
from clbench.errors import DataError

Files = dict[str, bytes]
Layout = Callable[[Files], str]


def picture(
    value: int = 0, mode: str = "L", size: tuple[int, int] = (5, 4), kind: str = "png"
) -> bytes:
    """Return an encoded image whose pixels rise from ``value``."""
    width, height = size
    pixels = (np.arange(width * height) + value).astype(np.uint8).reshape(height, width)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def valid(**more: bytes) -> Files:
    """Return two classes with two training images and one test image each."""
    files = {
        f"{split}/{name}/{i}.png": picture(100 * (split == "test") + 20 * c + i)
        for split, count in (("train", 2), ("test", 1))
        for c, name in enumerate(("ant", "bee"))
        for i in range(count)
    }
    return files | more


def save_folder(root: Path, files: Files) -> str:
    """Write files below a folder."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return f"folder:{root}"


def save_zip(path: Path, files: Files) -> str:
    """Write files into a zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return f"folder:{path}"


@pytest.fixture(params=["folder", "zip"])
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> Layout:
    """Return a function that writes files as a folder or as a zip."""
    if request.param == "folder":
        return lambda files: save_folder(tmp_path / "images", files)
    return lambda files: save_zip(tmp_path / "images.zip", files)


def refusal(name: str) -> str:
    """Return the sentence that refuses a dataset; it names the path."""
    with pytest.raises(DataError) as caught:
        load(name)
    assert name.removeprefix("folder:") in str(caught.value)
    return str(caught.value)


def corner(data: Dataset) -> list[int]:
    """Return the first pixel of each training image, then of each test image."""
    return torch.cat([data.x_train, data.x_test])[:, 0, 0, 0].tolist()


def test_images_by_class(layout: Layout) -> None:
    data = load(layout(valid()))
    assert data.classes == ("ant", "bee")
    assert data.shape == (1, 4, 5)
    assert data.x_train.dtype == torch.uint8
    assert data.y_train.tolist() == [0, 0, 1, 1]
    assert data.y_test.tolist() == [0, 1]
    assert corner(data) == [0, 1, 20, 21, 100, 120]
    assert data.x_train[0, 0].tolist() == np.arange(20).reshape(4, 5).tolist()


def test_folder_and_zip_are_the_same_dataset(tmp_path: Path) -> None:
    first = load(save_folder(tmp_path / "images", valid()))
    second = load(save_zip(tmp_path / "images.zip", valid()))
    assert first.hash == second.hash


def test_one_folder_around_everything_is_fine(layout: Layout) -> None:
    data = load(layout({f"my images/{name}": content for name, content in valid().items()}))
    assert corner(data) == [0, 1, 20, 21, 100, 120]


@pytest.mark.parametrize("around", ["train", "test"])
def test_the_folder_around_everything_may_be_called_like_a_split(
    layout: Layout, around: str
) -> None:
    data = load(layout({f"{around}/{name}": content for name, content in valid().items()}))
    assert data.classes == ("ant", "bee")
    assert corner(data) == [0, 1, 20, 21, 100, 120]


def test_hidden_files_are_left_alone(layout: Layout) -> None:
    hidden = ("train/ant/.0.png", "train/.thumbs/0.png", ".cache/train/cat/0.png")
    assert load(layout(valid() | dict.fromkeys(hidden, b"?"))).classes == ("ant", "bee")


def test_other_files_are_left_alone(layout: Layout) -> None:
    files = valid() | {"README.md": b"hello", "train/ant/notes.txt": b"?", "train/list.csv": b","}
    assert len(load(layout(files)).x_train) == 4


def test_classes_named_like_a_split_are_classes(layout: Layout) -> None:
    files = {name.replace("bee", "train").replace("ant", "test"): c for name, c in valid().items()}
    assert load(layout(files)).classes == ("test", "train")


@pytest.mark.parametrize("kind", ["png", "bmp", "gif", "tiff", "ppm"])
def test_other_formats(layout: Layout, kind: str) -> None:
    mode = "RGB" if kind == "gif" else "L"
    files = {
        name.replace(".png", f".{kind.upper()}"): picture(7, mode, kind=kind) for name in valid()
    }
    data = load(layout(files))
    assert data.x_train[0, 0].tolist() == (np.arange(20) + 7).reshape(4, 5).tolist()


def test_grey_among_colour_becomes_colour(layout: Layout) -> None:
    files = valid() | {
        "train/bee/2.png": picture(50, "RGB"),
        "train/bee/3.png": picture(60, "RGBA"),
    }
    data = load(layout(files))
    assert data.shape == (3, 4, 5)
    assert len(data.mean) == 3
    assert torch.equal(data.x_train[:, 0], data.x_train[:, 1])
    assert corner(data) == [0, 1, 20, 21, 50, 60, 100, 120]
    assert data.y_train.tolist() == [0, 0, 1, 1, 1, 1]


def test_colours_keep_their_order(layout: Layout) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), (10, 20, 30)).save(buffer, "png")
    data = load(layout(dict.fromkeys(valid(), buffer.getvalue())))
    assert data.x_train[0, :, 2, 3].tolist() == [10, 20, 30]


def test_a_changed_folder_is_read_anew(tmp_path: Path) -> None:
    name = save_folder(tmp_path / "images", valid())
    before = load(name)
    save_folder(tmp_path / "images", {"train/bee/2.png": picture(99)})
    after = load(name)
    assert len(after.x_train) == 5
    assert before.hash != after.hash


def test_a_class_of_one_image_is_enough(layout: Layout) -> None:
    files = {name: body for name, body in valid().items() if name != "train/bee/1.png"}
    data = load(layout(files))
    assert data.y_train.tolist() == [0, 0, 1]
    assert data.y_test.tolist() == [0, 1]


def test_more_images_than_a_thread_takes_keep_their_order(layout: Layout) -> None:
    more = {f"train/ant/x{i:03}.png": picture(i) for i in range(200)}
    data = load(layout(valid() | more))
    assert corner(data)[:202] == [0, 1, *range(200)]


def test_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    name = save_folder(tmp_path / "images", valid())
    with open(os.fsencode(tmp_path / "images/train/bee") + b"/\xff.png", "wb") as file:  # noqa: PTH123
        file.write(picture(9))
    assert len(load(name).x_train) == 5


def test_links_to_images_are_images_and_dangling_ones_are_not(tmp_path: Path) -> None:
    name = save_folder(tmp_path / "images", valid())
    (tmp_path / "images/train/bee/7.png").symlink_to(tmp_path / "images/train/bee/1.png")
    (tmp_path / "images/train/bee/8.png").symlink_to(tmp_path / "nowhere.png")
    assert corner(load(name)) == [0, 1, 20, 21, 21, 100, 120]


# What is refused.


def test_nothing_there(tmp_path: Path) -> None:
    assert "there is no folder or zip" in refusal(f"folder:{tmp_path / 'none'}")


def test_images_of_several_sizes(layout: Layout) -> None:
    files = valid() | {"train/bee/9.png": picture(size=(6, 4))}
    sentence = refusal(layout(files))
    assert all(word in sentence for word in ("5×4", "6×4", "train/bee/9.png"))


def test_test_images_of_another_size(layout: Layout) -> None:
    files = {n: picture(size=(6, 4)) if n.startswith("test") else c for n, c in valid().items()}
    sentence = refusal(layout(files))
    assert all(word in sentence for word in ("train/ant/0.png", "test/ant/0.png", "one size first"))


@pytest.mark.parametrize(("kind", "dtype"), [("png", np.uint16), ("tiff", np.float32)])
def test_images_of_more_than_8_bits(layout: Layout, kind: str, dtype: type[np.generic]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 5), 300, dtype)).save(buffer, kind)
    sentence = refusal(layout(valid() | {f"train/bee/9.{kind}": buffer.getvalue()}))
    assert all(word in sentence for word in (f"train/bee/9.{kind}", "8-bit grey or RGB"))


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(folder: object) -> None:
        raise PermissionError("permission denied")

    name = save_folder(tmp_path / "images", valid())
    monkeypatch.setattr(os, "scandir", denied)
    assert "permission denied" in refusal(name)


@pytest.mark.parametrize("content", [b"", b"no image", picture()[:40], picture()[:-20]])
def test_a_damaged_image(layout: Layout, content: bytes) -> None:
    sentence = refusal(layout(valid() | {"train/ant/1.png": content}))
    assert "train/ant/1.png cannot be read" in sentence


@pytest.mark.parametrize("missing", ["test/bee/0.png", "train"])
def test_a_class_of_one_split_only(layout: Layout, missing: str) -> None:
    files = valid() if missing != "train" else valid() | {"test/cat/0.png": picture()}
    files.pop(missing, None)
    assert "is not in both train/ and test/" in refusal(layout(files))


@pytest.mark.parametrize("files", [{}, {"ant/0.png": picture()}, {"train/0.png": picture()}])
def test_no_class_folders(layout: Layout, files: Files, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    assert "train/CLASS/" in refusal(layout(files))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_split(layout: Layout, split: str) -> None:
    files = {name: content for name, content in valid().items() if not name.startswith(split)}
    assert f"{split}/CLASS/" in refusal(layout(files))


def test_a_folder_with_the_suffix_of_an_image_is_no_image(tmp_path: Path) -> None:
    """Neither as a class nor inside one; the files in it are not in a class folder."""
    name = save_folder(tmp_path / "images", valid() | {"train/ant/more.png/0.png": picture()})
    assert len(load(name).x_train) == 4


# Zip files.


@pytest.mark.parametrize(
    "member",
    ["../evil.png", "/tmp/evil.png", "train/../../evil.png", "..\\evil.png", "C:/evil.png"],
)
def test_a_member_outside_the_archive_is_refused(tmp_path: Path, member: str) -> None:
    sentence = refusal(save_zip(tmp_path / "images.zip", valid() | {member: picture()}))
    assert "leaves the archive's folder" in sentence
    assert not list(tmp_path.parent.rglob("evil.png"))


@pytest.mark.parametrize(
    "entries", [["./"], ["train/", "train/ant/"], ["./", "./train/"], ["train/ant/x.png/"]]
)
def test_entries_for_folders_are_fine(tmp_path: Path, entries: list[str]) -> None:
    name = save_zip(tmp_path / "images.zip", dict.fromkeys(entries, b"") | valid())
    assert len(load(name).x_train) == 4


def test_what_macos_adds_to_a_zip_is_left_alone(tmp_path: Path) -> None:
    extra = {"__MACOSX/train/ant/._0.png": b"\x00\x05\x16\x07", "train/ant/._0.png": b"\x00"}
    assert len(load(save_zip(tmp_path / "images.zip", valid() | extra)).x_train) == 4


def test_a_zip_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = save_zip(tmp_path / "images.zip", valid() | {"zeros.bin": bytes(100_000)})
    assert (tmp_path / "images.zip").stat().st_size < 5000
    monkeypatch.setattr(archives, "UNPACKED_LIMIT", 50_000)
    assert "unpacks to" in refusal(name)
    monkeypatch.setattr(archives, "UNPACKED_LIMIT", 110_000)
    assert len(load(name).x_train) == 4


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "flipped", "encrypted", "method"])
def test_a_damaged_zip(tmp_path: Path, damage: str) -> None:
    name = save_zip(tmp_path / "images.zip", valid())
    path = tmp_path / "images.zip"
    content = bytearray(path.read_bytes())
    for at in range(len(content) - 4):
        header = {b"PK\x03\x04": 6, b"PK\x01\x02": 8}.get(bytes(content[at : at + 4]))
        if header and damage == "encrypted":
            content[at + header] |= 1
        elif header and damage == "method":
            content[at + header + 2] = 99
    if damage == "flipped":
        content[60] ^= 255
    whole = {"empty": b"", "text": b"no zip", "cut": bytes(content[:-40])}
    path.write_bytes(whole.get(damage, bytes(content)))
    sentence = refusal(name)
    assert damage in ("encrypted", "method") or "not a readable zip file" in sentence
