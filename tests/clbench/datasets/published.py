"""Small data sets in the true formats of the published ones, and a server that publishes them."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray
from PIL import Image
from torchvision import datasets

from clbench.datasets import omniglot

GENERATOR = np.random.default_rng(0)


class Server:
    """Serves `files` on a free local port; what `faults` says goes wrong first."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        """By file, what happens to its next transfers: ``truncated``, ``garbled`` or ``stalled``."""
        self.served: list[str] = []
        """The files whose transfer began."""
        self.stalled = threading.Event()
        self.closing = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/"

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server._answer(self)

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
                """Say nothing."""

        return Handler

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.lstrip("/")
        if name not in self.files:
            self.served.append(name)
            request.send_error(404)
            return
        body = self.files[name]
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.headers.get("Method") == "HEAD":  # torchvision looks for redirects first
            return
        self.served.append(name)
        fault = self.faults.get(name, [])[:1]
        self.faults[name] = self.faults.get(name, [])[1:]
        request.wfile.write(
            bytes(len(body)) if fault == ["garbled"] else body[: len(body) // 2] if fault else body
        )
        if fault == ["stalled"]:
            self.stalled.set()
            self.closing.wait()


def md5(content: bytes) -> str:
    """Return what torchvision compares."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


# IDX.


def idx(array: NDArray[Any]) -> bytes:
    """Return an IDX file, as LeCun's."""
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def idx_files() -> dict[str, bytes]:
    """Return 20 training and 10 test images with their labels."""
    files = {}
    for split, count in (("train", 20), ("t10k", 10)):
        images = GENERATOR.integers(0, 256, (count, 28, 28))
        files[f"{split}-images-idx3-ubyte"] = idx(images)
        files[f"{split}-labels-idx1-ubyte"] = idx(np.arange(count) % 10)
    return files


def publish_idx(name: str, server: Server, patch: pytest.MonkeyPatch) -> None:
    """Publish a data set of MNIST's family."""
    archives = {f"{file}.gz": gzip.compress(body) for file, body in idx_files().items()}
    server.files |= archives
    published = getattr(datasets, name)
    patch.setattr(published, "mirrors", [server.url])
    patch.setattr(published, "resources", [(file, md5(body)) for file, body in archives.items()])


# CIFAR.


def python_2_pickle(value: Any) -> bytes:
    """Return a pickle as Python 2 and NumPy 1 wrote it, which Python 3 cannot any more."""
    return b"\x80\x02" + _pickled(value) + b"."


def _pickled(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"}(" + b"".join(_pickled(v) for pair in value.items() for v in pair) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_pickled, value)) + b"e"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, (str, bytes)):
        content = value.encode("latin1") if isinstance(value, str) else value
        return b"T" + struct.pack("<i", len(content)) + content
    rows, columns = map(_pickled, value.shape)
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
    dtype += b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    return (
        empty
        + b"(K\x01"
        + rows
        + columns
        + b"\x86"
        + dtype
        + b"\x89"
        + _pickled(value.tobytes())
        + b"tb"
    )


def cifar_batch(count: int, classes: int, key: str) -> bytes:
    """Return a batch of images, the labels 0…K−1 in turn."""
    x = GENERATOR.integers(0, 256, (count, 3072), dtype=np.uint8)
    y = [i % classes for i in range(count)]
    return python_2_pickle({"data": x, key: y, "filenames": [f"{i}.png" for i in range(count)]})


def publish_cifar(name: str, server: Server, patch: pytest.MonkeyPatch) -> None:
    """Publish CIFAR-10 (ten images a batch) or CIFAR-100 (one of each class)."""
    published = getattr(datasets, name)
    classes, key = (10, "labels") if name == "CIFAR10" else (100, "fine_labels")
    names = [f"class {i}" for i in range(classes)]
    meta = published.meta["filename"]
    batches = [file for file, _ in [*published.train_list, *published.test_list]]
    files = {file: cifar_batch(classes, classes, key) for file in batches}
    files[meta] = python_2_pickle({published.meta["key"]: names})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for file, body in files.items():
            member = tarfile.TarInfo(f"{published.base_folder}/{file}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    server.files[published.filename] = buffer.getvalue()
    sums = {file: md5(body) for file, body in files.items()}
    patch.setattr(published, "url", server.url + published.filename)
    patch.setattr(published, "tgz_md5", md5(buffer.getvalue()))
    for table in ("train_list", "test_list"):
        files_of = [[file, sums[file]] for file, _ in getattr(published, table)]
        patch.setattr(published, table, files_of)
    patch.setattr(published, "meta", {**published.meta, "md5": sums[meta]})


# SVHN.


def publish_svhn(server: Server, patch: pytest.MonkeyPatch) -> None:
    """Publish 20 training and 10 test images; the label of a zero is 10."""
    table = {}
    for split, count in (("train", 20), ("test", 10)):
        x = GENERATOR.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        y = (np.arange(count, dtype=np.uint8) % 10 + 1)[:, None]
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, {"X": x, "y": y}, do_compression=True)
        file = f"{split}_32x32.mat"
        server.files[file] = buffer.getvalue()
        table[split] = [server.url + file, file, md5(buffer.getvalue())]
    patch.setattr(datasets.SVHN, "split_list", table)


# Omniglot.

CHARACTERS = {"images_background": ["Latin/character1", "Greek/character2", "Greek/character1"]}
CHARACTERS["images_evaluation"] = ["Runes/character1", "Angelic/character1"]


def drawing(character: int, number: int, size: int = 105) -> bytes:
    """Return a page with a black square; its place says the character, its size the drawing."""
    page = np.full((size, size), 255, np.uint8)
    page[15 * character : 15 * character + 15, : 4 * number] = 0
    buffer = io.BytesIO()
    Image.fromarray(page).convert("1").save(buffer, "png")
    return buffer.getvalue()


def omniglot_files(part: str) -> dict[str, bytes]:
    """Return a part's drawings, later ones first."""
    return {
        f"{part}/{name}/{c:04}_{number:02}.png": drawing(c, number)
        for c, name in enumerate(CHARACTERS[part])
        for number in range(20, 0, -1)
    }


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def publish_omniglot(server: Server, patch: pytest.MonkeyPatch) -> None:
    """Publish five characters."""
    zips = {part: zipped(omniglot_files(part)) for part in CHARACTERS}
    server.files |= {f"{part}.zip": body for part, body in zips.items()}
    patch.setattr(datasets.Omniglot, "download_url_prefix", server.url.rstrip("/"))
    sums = {part: md5(body) for part, body in zips.items()}
    patch.setattr(datasets.Omniglot, "zips_md5", sums)
    counts = {part: len(names) for part, names in CHARACTERS.items()}
    patch.setattr(omniglot, "_CHARACTERS", counts)


# All of them.

Publish = Callable[[Server, pytest.MonkeyPatch], None]
PUBLISH: dict[str, Publish] = {
    "mnist": lambda server, patch: publish_idx("MNIST", server, patch),
    "mnist-32": lambda server, patch: publish_idx("MNIST", server, patch),
    "mnist-raw": lambda server, patch: publish_idx("MNIST", server, patch),
    "fashion-mnist": lambda server, patch: publish_idx("FashionMNIST", server, patch),
    "kmnist": lambda server, patch: publish_idx("KMNIST", server, patch),
    "cifar10": lambda server, patch: publish_cifar("CIFAR10", server, patch),
    "cifar100": lambda server, patch: publish_cifar("CIFAR100", server, patch),
    "svhn": publish_svhn,
    "omniglot": publish_omniglot,
}


def fill_by_torchvision(name: str, folder: Path, *, download: bool) -> None:
    """Let torchvision itself read a data set, downloading it or not."""
    published, splits = {
        "mnist": (datasets.MNIST, (True, False)),
        "mnist-32": (datasets.MNIST, (True, False)),
        "mnist-raw": (datasets.MNIST, (True, False)),
        "fashion-mnist": (datasets.FashionMNIST, (True, False)),
        "kmnist": (datasets.KMNIST, (True, False)),
        "cifar10": (datasets.CIFAR10, (True, False)),
        "cifar100": (datasets.CIFAR100, (True, False)),
        "svhn": (datasets.SVHN, ("train", "test")),
        "omniglot": (datasets.Omniglot, (True, False)),
    }[name]
    for split in splits:
        assert len(published(folder, split, download=download))
