"""Every format of one small comparison, as committed in ``golden/`` and checked by hand; escapes; widths.

After a wanted change: ``CLBENCH_GOLDEN=1 uv run pytest -n 0 tests/clbench/compare/test_formats.py``; read the diff.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clbench.compare import markup, text, tidy
from clbench.compare.collection import collect
from clbench.compare.comparability import groups
from clbench.compare.tables import Settings, Table, compare
from tests.clbench.compare.records import failed, record, runs_of

GOLDEN = Path(__file__).parent / "golden"
SETTINGS = Settings(baseline="nearest")
FORMATS: dict[str, Callable[[list[Table], Settings], str]] = {
    "table.txt": text.terminal,
    "table.md": markup.markdown,
    "table.tex": markup.latex,
    "table.csv": lambda tables, _: tidy.to_csv(tables),
}
MULTI = {
    "scenario": "task-incremental",
    "protocol": {"head": "multi", "train_mask": "task", "test_mask": "task", "tells_task": True},
}


def example() -> list[Table]:
    """Return a table of two scenarios: differences of .02 ± .01 in average accuracy, one failed run."""
    records = []
    for seed, shift in enumerate((-0.02, 0.0, 0.02)):
        records += [
            record("joint", seed, (0.95, 0.95, 0.95 + shift), budget={"memory_examples": 60}),
            record("nearest", seed, (0.90, 0.80 + shift, 0.80 + shift)),
            record("replay", seed, (0.92, 0.80 + shift, 0.84 + 2 * shift)),
            record("finetune", seed, (0.96, 0.10 + shift, 0.96)),
            record("nearest", seed, (0.98, 0.97, 0.98 + shift / 2), **MULTI),
            record("replay", seed, (0.98, 0.96, 0.97 + shift / 2), **MULTI),
        ]
    records.append(failed("replay", 3, "the loss became NaN or infinite in experience 1, step 7"))
    return compare(groups(runs_of(*records)), SETTINGS)


@pytest.mark.parametrize("name", FORMATS)
def test_golden(name: str) -> None:
    path, found = GOLDEN / name, FORMATS[name](example(), SETTINGS)
    if os.environ.get("CLBENCH_GOLDEN"):
        path.write_text(found, "utf-8")
    expected = path.read_text("utf-8")
    if name == "table.csv":  # numbers in full, whose last digits are the platform's
        assert [numbers(row) for row in rows(found)] == [numbers(row) for row in rows(expected)]
    else:
        assert found == expected


def rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table)))


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with its numbers rounded."""
    rounded = {}
    for name, value in row.items():
        try:
            rounded[name] = round(float(value), 9)
        except (TypeError, ValueError):
            rounded[name] = value
    return rounded


def test_json_holds_the_records_of_the_csv() -> None:
    document = json.loads(tidy.to_json(example(), SETTINGS))
    assert list(document) == ["interval", "baseline", "notes", "tables"]
    (table,) = document["tables"]
    assert list(table) == ["setting", "facets", "scenarios", "notes", "records"]
    assert table["notes"][0].endswith(
        "failed: the loss became NaN or infinite in experience 1, step 7"
    )
    records = rows(tidy.to_csv(example()))
    assert len(records) == len(table["records"])
    for ours, theirs in zip(table["records"], records, strict=True):
        assert list(ours) == list(tidy.FIELDS)
        for name, value in ours.items():
            told = "" if value in (None, []) else str(value)
            assert theirs[name] == told


def test_what_is_not_defined_is_null_and_empty() -> None:
    """Forward transfer needs row 0, a single seed has no interval."""
    settings = Settings(("forward_transfer", "average_accuracy"))
    tables = compare(groups(runs_of(record())), settings)
    found = {
        r["metric"]: r for r in json.loads(tidy.to_json(tables, settings))["tables"][0]["records"]
    }
    assert (found["forward_transfer"]["mean"], found["average_accuracy"]["low"]) == (None, None)
    assert "NaN" not in tidy.to_json(tables, settings)
    line = text.terminal(tables, settings).splitlines()[6]
    assert line.split() == ["replay", "1", "–", "75.00"]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 300])
def test_no_line_of_a_table_is_wider_than_the_terminal(width: int) -> None:
    shown = text.terminal(example(), SETTINGS, width)
    assert max(map(len, shown.splitlines())) <= width
    assert shown.count("95.00 ± 2.48") == 2  # nothing is lost, nothing shown twice


def test_a_terminal_too_narrow_shows_a_column_at_a_time() -> None:
    shown = text.terminal(example(), SETTINGS, 10)
    assert shown.count("95.00 ± 2.48") == 2


@pytest.mark.parametrize(
    ("interval", "shown"), [("bootstrap", "82.00 [79.00, 85.00]"), ("iqm", "82.00 [79.00, 85.00]")]
)
def test_intervals_that_are_not_symmetric(interval: Any, shown: str) -> None:
    settings = Settings(interval=interval)
    records = [record(seed=s, cells=(0.9, a, a)) for s, a in enumerate((0.79, 0.82, 0.85))]
    found = text.terminal(compare(groups(runs_of(*records)), settings), settings)
    assert shown in found
    assert "percentile bootstrap interval" in found


@pytest.mark.parametrize("name", FORMATS)
def test_a_baseline_alone_is_compared_with_nothing(name: str) -> None:
    settings = Settings(baseline="nearest")
    found = FORMATS[name](compare(groups(runs_of(record("nearest"))), settings), settings)
    assert "nearest" in found
    assert "Difference" not in found


def test_variance_is_a_panel() -> None:
    records = [
        record(seed=s, cells=(0.9, a, a), protocol={"named_seeds": {"order": o}})
        for o, s, a in ((0, 0, 0.5), (0, 1, 0.52), (1, 0, 0.6), (1, 1, 0.62))
    ]
    settings = Settings(variance=True)
    found = text.terminal(compare(groups(runs_of(*records)), settings), settings)
    panel = found.partition("Standard deviation of average accuracy, in points:")[2]
    assert panel.splitlines()[3].split() == ["replay", "7.07", "1.41"]  # .10/√2 and .02/√2


def test_several_tables_say_what_sets_them_apart() -> None:
    records = [
        record("nearest"),
        record("finetune"),
        record("replay", hyper_parameters={"memory_size": 50}),
        record("replay", hyper_parameters={"memory_size": 70}),
        record("nearest", dataset={"name": "other", "hash": "o"}),
    ]
    found = text.terminal(compare(groups(runs_of(*records)), Settings()), Settings())
    assert found.startswith(
        "4 tables, since only comparable rows share one; these differ in dataset, memory and passes."
    )
    assert "In several tables: finetune, which keep" in " ".join(found.split())


SCRIPT = "<script>alert(1)</script>"
COMMAND = r"\input{/etc/passwd}$x_1$%"
ESCAPE = "\x1b]0;owned\x07\x1b[2J"


@pytest.fixture
def planted(tmp_path: Path) -> list[Table]:
    """Return a table of a result file with traps in each of its strings."""
    trap = f"{SCRIPT}{COMMAND}{ESCAPE}| **x** [a](b)\n"
    one = record(
        trap,
        dataset={"name": trap, "hash": "abc"},
        scenario=trap,
        hyper_parameters={trap: trap},
        protocol={"head": trap, "train_mask": trap},
    )
    other = failed(trap, 1, trap, hyper_parameters={trap: "y"}, scenario=trap)
    for name, content in (("a", one), ("b", other)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return compare(groups(collect([tmp_path]).runs), Settings())


def test_the_terminal_gets_no_control_character(planted: list[Table]) -> None:
    shown = text.terminal(planted, Settings())
    assert r"\x1b]0;owned\x07" in shown
    assert all(line.isprintable() for line in shown.splitlines())


def test_latex_executes_nothing(planted: list[Table]) -> None:
    """Every backslash begins a command of ours, every dollar encloses a sign of ours."""
    found = markup.latex(planted, Settings())
    assert r"\textbackslash{}input\{/etc/passwd\}\$x\_1\$\%" in found
    commands = set(re.findall(r"\\([A-Za-z]+|.)", found))
    assert commands <= {
        *("usepackage", "footnotesize", "noindent", "par", "begin", "end", "centering"),
        *("caption", "toprule", "midrule", "bottomrule", "textbf", "multicolumn", "cmidrule"),
        *("textbackslash", "textless", "textgreater", "textbar", "ldots", "pm", "times", "le"),
        *("{", "}", "$", "%", "_", "&", "#", "\\"),
    }
    assert set(re.findall(r"(?<!\\)\$(.*?)(?<!\\)\$", found)) <= {r"\pm", "-", r"\times", r"\le"}


def test_markdown_has_no_markup_of_theirs(planted: list[Table]) -> None:
    found = markup.markdown(planted, Settings())
    assert "<script" not in found
    assert r"&lt;script&gt;" in found
    assert r"\| \*\*x\*\* \[a\](b)" in found
    table = [line for line in found.splitlines() if line.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table[:3]}) == 1


def test_csv_and_json_keep_the_printable_name(planted: list[Table]) -> None:
    name = rows(tidy.to_csv(planted))[0]["strategy"]
    assert name.startswith(SCRIPT + COMMAND + r"\x1b]0;owned\x07")
    document = json.loads(tidy.to_json(planted, Settings()))
    assert document["tables"][0]["records"][0]["strategy"] == name
