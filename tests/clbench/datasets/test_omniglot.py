"""Omniglot as a continual data set, on five small characters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.dataset import load
from clbench.errors import DataError
from tests.clbench.datasets.published import CHARACTERS, Server, drawing, omniglot_files, zipped

Publish = Callable[[str], Server]
pytestmark = pytest.mark.usefixtures("cache")

ORDER = (
    "Greek/character1",
    "Greek/character2",
    "Latin/character1",
    "Angelic/character1",  # the evaluation set comes second
    "Runes/character1",
)


def save(folder: Path, changes: dict[str, bytes | None], *, zips: bool) -> Path:
    """Write both parts with changes, as zips or folders; return their folder."""
    root = folder / "omniglot-py"
    root.mkdir(parents=True, exist_ok=True)
    for part in CHARACTERS:
        given = {name: body for name, body in changes.items() if name.startswith(part)}
        files = {**omniglot_files(part), **given}
        kept = {name: body for name, body in files.items() if body is not None}
        if zips:
            (root / f"{part}.zip").write_bytes(zipped(kept))
            continue
        for name, body in kept.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(body)
    return root


@pytest.mark.parametrize("zips", [True, False])
def test_classes_drawings_and_ink(publish: Publish, tmp_path: Path, zips: bool) -> None:
    server = publish("omniglot")
    save(tmp_path, {}, zips=zips)
    data = load("omniglot", tmp_path)
    assert server.served == []
    assert data.classes == ORDER
    assert data.shape == (1, 28, 28)
    assert data.y_train.tolist() == [c for c in range(5) for _ in range(15)]
    assert data.y_test.tolist() == [c for c in range(5) for _ in range(5)]
    place = [
        CHARACTERS[part].index(name) for part in CHARACTERS for name in sorted(CHARACTERS[part])
    ]
    for c in range(5):
        for split, first, last in (("train", 1, 15), ("test", 16, 20)):
            chosen = getattr(data, f"y_{split}") == c
            images = getattr(data, f"x_{split}")[chosen, 0]
            for image, number in zip(images, range(first, last + 1), strict=True):
                row = 4 * place[c] + 2  # 15 rows of the original are 4 of ours
                assert int(image.max()) == 255 if number > 2 else True
                ink = float((image[row] / 255).sum()) * 105 / 28
                assert ink == pytest.approx(4 * number, abs=1.5)
                assert not image[(row + 10) % 28].any()


def test_zip_and_folder_are_the_same(publish: Publish, tmp_path: Path) -> None:
    publish("omniglot")
    for zips in (True, False):
        save(tmp_path / str(zips), {}, zips=zips)
    assert load("omniglot", tmp_path / "True").hash == load("omniglot", tmp_path / "False").hash


def test_the_zip_counts_where_the_folder_is_half_extracted(
    publish: Publish, tmp_path: Path
) -> None:
    publish("omniglot")
    root = save(tmp_path, {}, zips=True)
    (root / "images_background" / "Greek").mkdir(parents=True)
    assert load("omniglot", tmp_path).classes == ORDER


@pytest.mark.parametrize("zips", [True, False])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"images_background/Greek/character1/0002_03.png": None},
            ["Greek/character1 has 19 drawings, not 20"],
        ),
        (
            {"images_evaluation/Runes/character2/0002_03.png": drawing(0, 3)},
            ["has 3 characters, not 2"],
        ),
        (
            {"images_evaluation/Runes/character1/0000_03.png": drawing(0, 3, 100)},
            ["Runes/character1/0000_03.png", "100×100 pixels, not 105×105"],
        ),
        (
            {"images_evaluation/Runes/character1/0000_03.png": drawing(0, 3)[:50]},
            ["Runes/character1/0000_03.png cannot be read"],
        ),
    ],
)
def test_what_does_not_fit_is_named(
    publish: Publish,
    tmp_path: Path,
    zips: bool,
    changes: dict[str, bytes | None],
    words: list[str],
) -> None:
    publish("omniglot")
    root = save(tmp_path, changes, zips=zips)
    with pytest.raises(DataError) as caught:
        load("omniglot", tmp_path)
    assert all(word in str(caught.value) for word in [str(root), *words]), caught.value


def test_a_zip_with_a_member_outside_is_refused(publish: Publish, tmp_path: Path) -> None:
    publish("omniglot")
    save(tmp_path, {"images_background/../../evil.png": drawing(0, 3)}, zips=True)
    with pytest.raises(DataError, match="leaves the archive's folder"):
        load("omniglot", tmp_path)


@pytest.mark.parametrize("content", [b"", b"no zip", zipped({"images_background/a.txt": b""})])
def test_a_damaged_zip_is_named_and_kept(publish: Publish, tmp_path: Path, content: bytes) -> None:
    server = publish("omniglot")
    path = save(tmp_path, {}, zips=True) / "images_background.zip"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load("omniglot", tmp_path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content
    assert server.served == []
