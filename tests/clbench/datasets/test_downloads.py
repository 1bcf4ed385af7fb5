"""Downloading published data sets, and everything that can go wrong: always whole, or not there."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from torchvision.datasets import utils

from clbench import registry
from clbench.cli import main
from clbench.dataset import Dataset, load
from clbench.datasets.downloads import PublishedReader
from clbench.errors import DataError
from tests.clbench.datasets.published import PUBLISH, Server, fill_by_torchvision

NAMES = sorted(PUBLISH)
Publish = Callable[[str], Server]
pytestmark = pytest.mark.usefixtures("cache")


def reader(name: str, folder: Path) -> PublishedReader:
    """Return the reader of a data set."""
    found = registry.resolve("datasets", name).target(None, folder)
    assert isinstance(found, PublishedReader)
    return found


def refusal(name: str, folder: Path) -> str:
    """Return the one sentence that says why a data set cannot be used."""
    with pytest.raises(DataError) as caught:
        load(name, folder)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    return str(caught.value)


def visible(folder: Path) -> set[str]:
    """Return the files below a folder, without the hidden lock."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in files if path.name[0] != "."}


def equal(a: Dataset, b: Dataset) -> bool:
    """Return whether two data sets hold the same."""
    return (a.hash, a.classes, a.mean, a.std) == (b.hash, b.classes, b.mean, b.std)


# What goes well.


@pytest.mark.parametrize("name", NAMES)
def test_downloaded_as_torchvision_does_and_then_never_again(
    publish: Publish, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = publish(name)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    data = load(name, ours)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [f"Downloading {server.url}{f}" for f in server.served]
    fill_by_torchvision(name, theirs, download=True)
    assert visible(ours) == visible(theirs)
    fill_by_torchvision(name, ours, download=False)
    server.files.clear()
    server.served.clear()
    assert equal(load(name, ours), data)
    assert equal(load(name, theirs), data)
    assert server.served == []
    assert not list(ours.rglob(".clbench-download"))


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_put_there_by_hand_needs_no_network(
    publish: Publish, tmp_path: Path, name: str
) -> None:
    server = publish(name)
    for archive in reader(name, tmp_path).archives:
        (tmp_path / archive).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / archive).write_bytes(server.files[Path(archive).name])
    load(name, tmp_path)
    assert server.served == []


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_what_is_there_stays_when_the_rest_is_fetched(
    publish: Publish, tmp_path: Path, name: str
) -> None:
    publish(name)
    load(name, tmp_path)
    files = [
        tmp_path / file for all_of in reader(name, tmp_path).archives.values() for file in all_of
    ]
    before = {path: path.stat().st_ino for path in files[1:]}
    files[0].unlink()
    load(name, tmp_path)
    assert {path: path.stat().st_ino for path in files[1:]} == before
    assert files[0].is_file()


def test_readers_at_the_same_time_download_once(publish: Publish, tmp_path: Path) -> None:
    server = publish("svhn")
    readers = [reader("svhn", tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(PublishedReader.source, readers))) == 1
    assert sorted(server.served) == ["test_32x32.mat", "train_32x32.mat"]


def test_a_terminal_gets_a_bar(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    publish("svhn")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    load("svhn", tmp_path)
    assert "100%" in terminal.getvalue()


# What goes wrong on the way.


@pytest.mark.parametrize("fault", ["truncated", "garbled"])
@pytest.mark.parametrize("name", NAMES)
def test_damaged_once_is_fetched_again(
    publish: Publish, tmp_path: Path, name: str, fault: str
) -> None:
    server = publish(name)
    wanted = Path(list(reader(name, tmp_path).archives)[-1]).name
    server.faults[wanted] = [fault]
    load(name, tmp_path)
    assert server.served.count(wanted) == 2
    assert len(server.served) == len(reader(name, tmp_path).archives) + 1


@pytest.mark.parametrize("fault", ["truncated", "garbled"])
@pytest.mark.parametrize("name", NAMES)
def test_damaged_twice_is_one_sentence_and_leaves_nothing(
    publish: Publish, tmp_path: Path, name: str, fault: str
) -> None:
    server = publish(name)
    archive = next(iter(reader(name, tmp_path).archives))
    wanted = Path(archive).name
    server.faults[wanted] = [fault] * 9
    sentence = refusal(name, tmp_path / "data")
    assert server.served == [wanted] * 2
    place = (tmp_path / "data" / archive).parent
    for words in (server.url + wanted, "truncated or with a wrong checksum, twice", str(place)):
        assert words in sentence
    assert visible(tmp_path / "data") == set()
    assert not list(tmp_path.rglob(".clbench-download"))


@pytest.mark.parametrize("name", NAMES)
def test_without_network_and_data_the_folder_is_named(
    publish: Publish, tmp_path: Path, name: str
) -> None:
    server = publish(name)
    server.close()
    archive = next(iter(reader(name, tmp_path).archives))
    sentence = refusal(name, tmp_path)
    place = (tmp_path / archive).parent
    files = [Path(archive).name for archive in reader(name, tmp_path).archives]
    for words in (str(place), *files, "refused", "--data-dir", "CLBENCH_DATA"):
        assert words in sentence


def test_a_server_that_does_not_have_it_is_asked_once(publish: Publish, tmp_path: Path) -> None:
    server = publish("svhn")
    server.files.clear()
    assert "404" in refusal("svhn", tmp_path)
    assert server.served == ["train_32x32.mat"]


def test_the_second_mirror_helps(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    server = publish("mnist")
    monkeypatch.setattr(datasets.MNIST, "mirrors", [server.url + "gone/", server.url])
    load("mnist", tmp_path)
    assert len(server.served) == 8


def test_a_silent_server_is_given_up(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = publish("svhn")
    monkeypatch.setattr("clbench.datasets.downloads._TIMEOUT", 0.2)
    server.faults["train_32x32.mat"] = ["stalled", "stalled"]
    assert "timed out" in refusal("svhn", tmp_path)


def test_a_folder_that_cannot_be_written(publish: Publish, tmp_path: Path) -> None:
    publish("svhn")
    (tmp_path / "file").write_text("in its place")
    assert str(tmp_path / "file") in refusal("svhn", tmp_path / "file" / "data")


@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn", "omniglot"])
def test_interrupted_leaves_nothing(
    publish: Publish, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(name)

    def interrupted(url: str, root: Path, filename: str, md5: str) -> None:
        (root / filename).write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(utils, "download_url", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load(name, tmp_path)
    assert visible(tmp_path) == set()
    load(name, tmp_path)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_interrupted_while_extracting_leaves_nothing(
    publish: Publish, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(name)
    brought = Path(next(iter(reader(name, tmp_path).archives.values()))[0])

    def interrupted(archive: Path, folder: Path) -> None:
        (folder / brought.name).write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(utils, "extract_archive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load(name, tmp_path)
    assert visible(tmp_path) == set()
    load(name, tmp_path)


KILLED = """
import sys
from pathlib import Path
from torchvision import datasets
from clbench.dataset import load
url, md5, folder = sys.argv[1:]
datasets.SVHN.split_list["train"] = [url, "train_32x32.mat", md5]
load("svhn", Path(folder))
"""


def test_killed_leaves_nothing_that_counts(publish: Publish, tmp_path: Path) -> None:
    from torchvision import datasets

    server = publish("svhn")
    url, file, md5 = datasets.SVHN.split_list["train"]
    server.faults[file] = ["stalled"]
    process = subprocess.Popen([sys.executable, "-c", KILLED, url, md5, tmp_path])
    assert server.stalled.wait(60)
    staging = tmp_path / ".clbench-download" / file
    until = time.monotonic() + 10
    while not staging.exists() and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert visible(tmp_path) == {f".clbench-download/{file}"}  # it was killed in the middle
    assert load("svhn", tmp_path).x_train.shape == (20, 3, 32, 32)
    assert not staging.exists()
    assert server.served.count(file) == 2


# What is there already, and damaged.


@pytest.mark.parametrize("name", ["mnist", "cifar100"])
def test_a_damaged_archive_of_the_users_is_named_and_kept(
    publish: Publish, tmp_path: Path, name: str
) -> None:
    server = publish(name)
    archive = tmp_path / next(iter(reader(name, tmp_path).archives))
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(b"mine")
    sentence = refusal(name, tmp_path)
    assert f"{archive} is damaged" in sentence
    assert archive.read_bytes() == b"mine"
    assert server.served == []


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"omniglot"}))
@pytest.mark.parametrize("which", [0, -1])
def test_a_damaged_file_of_the_users_is_named_and_kept(
    publish: Publish, tmp_path: Path, name: str, which: int
) -> None:
    publish(name)
    load(name, tmp_path)
    files = [file for all_of in reader(name, tmp_path).archives.values() for file in all_of]
    path = tmp_path / files[which]
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    sentence = refusal(name, tmp_path)
    assert f"{path} is damaged" in sentence
    assert "delete it to download it again" in sentence
    assert path.read_bytes() == whole[:-3]
    path.unlink()
    load(name, tmp_path)
    assert path.read_bytes() == whole


# The command line.


def test_only_json_reaches_stdout_and_damage_exits_1(
    publish: Publish,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def talkative(*arguments: str) -> None:
        sys.stdout.write("torchvision says something")
        original(*arguments)

    original = utils.download_url
    monkeypatch.setattr(utils, "download_url", talkative)
    server = publish("mnist")
    command = ["run", "--scenario", "class-incremental", "--strategy", "nearest", "--json"]
    command += ["--dataset", "mnist", "--data-dir", str(tmp_path), "--results", str(tmp_path / "r")]
    server.faults["train-images-idx3-ubyte.gz"] = ["truncated"] * 2
    assert main([*command]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith("Error: MNIST is not")
    assert main([*command, "--dry-run"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)[0]["status"] == "planned"


@pytest.mark.parametrize("name", NAMES)
def test_show_does_not_download(
    publish: Publish, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = publish(name)
    assert main(["show", "dataset", name]) == 0
    assert "ormalised" in capsys.readouterr().out
    assert server.served == []
