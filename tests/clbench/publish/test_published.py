"""A paper's numbers beside ours, on made-up results computed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from clbench.compare.collection import Run
from clbench.errors import ResultsError, UsageError
from clbench.publish.published import PublishedTable, markdown, ours, read, summary
from tests.clbench.compare.records import failed, record, runs_of

TABLE = PublishedTable.parse(
    {
        "source": "A paper",
        "dataset": "toy",
        "scenarios": ["task-incremental", "class-incremental"],
        "row": [
            {
                "name": "SGD",
                "strategy": "finetune",
                "hyper_parameters": {"lr": 0.1},
                "values": {"class-incremental": [60.0, 3.0]},
                "short": True,
            },
            {"name": "Rehearsal", "strategy": "replay", "values": {}},
        ],
    },
    "table",
)


def runs() -> list[Run]:
    """Return three seeds with average accuracies of .60, .70 and .80, one that failed, and another variant."""
    cells = [(0.9, a, a) for a in (0.6, 0.7, 0.8)]
    found = [record("finetune", seed, cell) for seed, cell in enumerate(cells)]
    other = record("finetune", 0, (0.9, 0.1, 0.1), hyper_parameters={"lr": 0.2})
    return runs_of(*found, failed("finetune", 3, "no"), other)


def test_ours_is_the_mean_and_the_deviation_of_the_matching_runs() -> None:
    found = ours(TABLE.row[0], "class-incremental", "toy", runs())
    assert found is not None
    assert (found.mean, found.deviation, found.n) == pytest.approx((70.0, 8.16496580927726, 3))
    assert ours(TABLE.row[0], "class-incremental", "other", runs()) is None
    assert ours(TABLE.row[0], "task-incremental", "toy", runs()) is None


def test_agreement_is_twice_the_joint_deviation_and_includes_the_boundary() -> None:
    found = ours(TABLE.row[0], "class-incremental", "toy", runs_of(record("finetune")))
    assert found is not None
    assert (found.mean, found.deviation) == (75.0, 0.0)
    assert found.agrees(69.0, 3.0)
    assert not found.agrees(68.9, 3.0)


def test_several_specifications_for_a_row_are_refused() -> None:
    row = TABLE.row[0].model_copy(update={"hyper_parameters": {}})
    with pytest.raises(
        ResultsError, match="SGD on class-incremental is answered by runs of several"
    ):
        ours(row, "class-incremental", "toy", runs())


def test_tables() -> None:
    assert markdown(TABLE, runs()).splitlines()[-4:] == [
        "| method | paper | ours | n | difference | agrees |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| SGD (finetune) | 60.00 ± 3.00 | 70.00 ± 8.16 | 3 | +10.00 | yes |",
        "| Rehearsal (replay) | – | – | – | – | – |",
    ]
    (row,) = summary(TABLE, runs()).splitlines()[2:]
    assert row == "| SGD (finetune) | – | – | – | 60.00 ± 3.00 | 70.00 ± 8.16 | yes |"


def test_a_file_with_a_wrong_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "paper.toml"
    path.write_text("source = 'x'\nrows = []\n")
    with pytest.raises(UsageError, match=r"paper\.toml: .*rows"):
        read(path)
