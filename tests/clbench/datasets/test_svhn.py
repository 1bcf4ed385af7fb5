"""SVHN, on small files in MATLAB's format."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import scipy.io

from clbench.dataset import load
from tests.clbench.datasets.published import Server

pytestmark = pytest.mark.usefixtures("cache")


def test_svhn(publish: Callable[[str], Server], tmp_path: Path) -> None:
    server = publish("svhn")
    data = load("svhn", tmp_path)
    assert data.classes == tuple("0123456789")
    assert data.y_train.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] * 2  # 10 stands for 0
    original = scipy.io.loadmat(io.BytesIO(server.files["test_32x32.mat"]))["X"]
    for i in range(10):
        for channel in range(3):
            assert data.x_test[i, channel].tolist() == original[:, :, channel, i].tolist()
    assert data.mean == (0.4377, 0.4438, 0.4728)
    assert data.std == (0.1980, 0.2010, 0.1970)
