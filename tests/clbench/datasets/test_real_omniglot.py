"""The real Omniglot, where it is there; read once for all tests, since that takes a while."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from clbench.dataset import data_folder, load
from clbench.datasets.omniglot import BACKGROUND, Omniglot


def test_real_omniglot() -> None:
    folder = data_folder(None)
    reader = Omniglot(None, folder)
    if not all(map(reader.present, reader.archives)):
        pytest.skip(f"Omniglot is not in {folder}; point CLBENCH_DATA to it")
    data = load("omniglot")
    assert data.x_train.shape == (1623 * 15, 1, 28, 28)
    assert data.x_test.shape == (1623 * 5, 1, 28, 28)
    alphabets = [name.partition("/")[0] for name in data.classes]
    background, evaluation = set(alphabets[:BACKGROUND]), set(alphabets[BACKGROUND:])
    assert (len(background), len(evaluation), len(background & evaluation)) == (30, 20, 0)
    assert len([alphabet for alphabet, _ in groupby(alphabets)]) == 50  # each in one piece
    means = data.x_train.reshape(1623, -1).double().mean(1) / 255
    assert 0.005 < float(means.min()) < float(means.max()) < 0.25  # ink is rare and bright
    assert np.unique(data.x_train.numpy()).size > 100  # smoothed, not picked
