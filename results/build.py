"""Rebuild every committed table and figure, and the README's sections, from the committed result files alone.

``uv run python results/build.py``; ``tests/test_build.py`` fails when something is stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import click

from clbench.compare.collection import Run, collect
from clbench.compare.comparability import groups
from clbench.compare.markup import markdown, pipes
from clbench.compare.panels import excerpt
from clbench.compare.tables import Settings, Table, compare
from clbench.errors import ResultsError
from clbench.pictures.charts import Chart, Panel, Point, Series, exactly
from clbench.pictures.drawing import draw
from clbench.pictures.kinds import METRICS, panels
from clbench.publish import (
    crossed,
    few_shot,
    overview,
    presentations,
    published,
    retained,
    sections,
)

RESULTS = Path(__file__).resolve().parent
README = RESULTS.parent / "README.md"

MAIN = ("n", "average accuracy", "forgetting", "learning accuracy", "memory", "steps")
"""Columns of a table in the README."""

STREAMS = {
    "class-incremental-digits": ("reference/digits", "memory 200 balanced"),
    "class-incremental-mnist": ("reference/mnist", "memory 200 balanced"),
}
"""Folder and memory of the tables that the README quotes; ``tables/`` has them in full, with every memory."""

FIGURES = {
    "digits-stream": ("stream", "reference/digits"),
    "mnist-memory": ("memory", "reference/mnist"),
    "metanet-continual": ("transfer", "reference/omniglot/meta-continual"),
    "omniglot-learning": ("learning", "reference/omniglot/episodic"),
    "mnist-stream": ("stream", "reference/mnist"),
}
"""Kind and folder of each figure."""

OMNIGLOT = few_shot.read(RESULTS / "published" / "munkhdalai2017.toml")
PRESENTATIONS = presentations.read(RESULTS / "published" / "santoro2016.toml")
RIEMER2019 = retained.read(RESULTS / "published" / "riemer2019.toml")
HSU2018 = published.read(RESULTS / "published" / "hsu2018.toml")
SETTINGS = Settings(METRICS)
SCENARIOS = ("domain-incremental", "task-incremental", "class-incremental")
CHOSEN = {
    "table-digits-online": ("table/digits", True),
    "table-digits-offline": ("table/digits", False),
    "table-mnist-online": ("table/mnist", True),
    "table-mnist-offline": ("table/mnist", False),
    "table-omniglot-online": ("table/omniglot", True),
    "table-omniglot-offline": ("table/omniglot", False),
    "table-digits-avalanche": ("regularisers/digits", False),
}
"""Folder of the tables whose rows were chosen by `results/choose.py`, and whether they are of online streams."""
QUOTED = {
    "table-online": ("table-digits-online", "table-mnist-online", "table-omniglot-online"),
    "table-offline": ("table-digits-offline", "table-mnist-offline", "table-omniglot-offline"),
}
"""Tables of `CHOSEN` that stand side by side in the README."""


def files() -> Iterator[tuple[Path, bytes]]:
    """Yield every file that is rebuilt, and what belongs in it."""
    for name, (folder, _) in STREAMS.items():
        yield _text(RESULTS / "tables" / f"{name}.md", markdown(_tables(folder), SETTINGS))
    yield _text(RESULTS / "tables" / "hsu2018.md", _hsu2018())
    yield _text(RESULTS / "tables" / "omniglot-metanet.md", _omniglot())
    yield _text(RESULTS / "tables" / "mnist-temperature.md", _temperature())
    yield _text(RESULTS / "tables" / "omniglot-mann.md", _presentations())
    yield _text(RESULTS / "tables" / "mnist-mer.md", _retained())
    for name in _made():
        yield _text(RESULTS / "tables" / f"{name}.md", _chosen(name))
    for name, (kind, folder) in FIGURES.items():
        drawn = draw(panels(kind, _tables(folder), SETTINGS), "svg")
        yield RESULTS / "figures" / f"{name}.svg", drawn
    yield RESULTS / "figures" / "scale.svg", draw(_scale(), "svg")
    yield README, sections.fill(README.read_text("utf-8"), dict(readme_sections())).encode()


def _scale() -> list[Panel]:
    """Return the curves of the benchmark `scale`, which wrote tables/scale.json."""
    (row,) = json.loads((RESULTS / "tables" / "scale.json").read_text("utf-8"))["rows"]
    curve = row["figure"]["details"]["curve"]

    def series(label: str, key: str, factor: float = 1.0) -> Series:
        known = [point for point in curve if point[key] is not None]
        return Series(
            label,
            tuple(Point(exactly(p["experience"]), exactly(factor * p[key])) for p in known),
        )

    took = (
        series("learning an experience", "processor", 1000),
        series("a row of the matrix", "evaluate", 1000),
    )
    return [
        Chart("", "experiences learnt", "milliseconds", took),
        Chart("", "experiences learnt", "peak memory (MiB)", (series("process", "peak"),)),
    ]


def readme_sections() -> Iterator[tuple[str, str]]:
    """Yield the README's sections."""
    for name, (folder, memory) in STREAMS.items():
        yield name, pipes(excerpt(_table(folder, memory), SETTINGS, MAIN))
    for name, parts in QUOTED.items():
        yield name, _side_by_side([part for part in parts if part in _made()])
    yield "table-digits-avalanche", _overview("table-digits-avalanche")
    yield "hsu2018", published.summary(HSU2018, _runs("reference/mnist-32"))


def _chosen(name: str) -> str:
    """Return a table's overview, and then each scenario in full."""
    folder, online = CHOSEN[name]
    told = (
        f"`clbench run --config {name} --results results/{folder.split('/')[0]}`. Average accuracy in %"
        " ± half a 95 % t interval over the seeds; each row's hyper-parameters were chosen on validation"
        f" for each scenario ([all trials]({name.replace('table', 'chosen', 1)}.md))."
    )
    parts = [told, _overview(name)]
    for scenario in _scenarios(name):
        parts += [f"## {scenario}", markdown(_tables(f"{folder}/{scenario}", online), SETTINGS)]
    return "\n\n".join(parts)


def _made() -> list[str]:
    """Return the tables that were run."""
    return [name for name, (folder, online) in CHOSEN.items() if _of(folder, online)]


def _overview(name: str) -> str:
    columns = {scenario: _of_scenario(name, scenario) for scenario in _scenarios(name)}
    return overview.markdown(columns, "class-incremental")


def _side_by_side(names: Sequence[str]) -> str:
    """Return several tables as one, a column for each dataset and scenario; "class" for class-incremental."""
    columns = {
        f"{CHOSEN[name][0].split('/')[1]}: {scenario.split('-')[0]}": _of_scenario(name, scenario)
        for name in names
        for scenario in _scenarios(name)
    }
    return overview.markdown(columns, "digits: class", decimals=1)


def _of_scenario(name: str, scenario: str) -> Sequence[Run]:
    return [run for run in _of(*CHOSEN[name]) if run.specification["scenario"]["name"] == scenario]


def _scenarios(name: str) -> list[str]:
    """Return the scenarios of a table's runs."""
    known = {run.specification["scenario"]["name"] for run in _of(*CHOSEN[name])}
    return [scenario for scenario in SCENARIOS if scenario in known]


def _hsu2018() -> str:
    told = (
        f"{HSU2018.source}, beside ours: mean ± standard deviation (ddof 0) of the final average"
        " accuracy in %; – not run. Ours agrees when |ours − paper| ≤ 2·√(sd_paper² + sd_ours²)."
    )
    return f"{told}\n\n{published.markdown(HSU2018, _runs('reference/mnist-32'))}\n"


def _omniglot() -> str:
    told = (
        f"{OMNIGLOT.source}, beside ours (one seed; `clbench run --config omniglot-metanet`): mean"
        " accuracy in % ± half a 95 % t interval over the test episodes; training minutes are of one"
        " core of a busy AMD EPYC. The paper does not say how long it trained. Ours trains on 1,100 of the"
        " characters, since 100 are for validation."
    )
    return f"{told}\n\n{few_shot.markdown(OMNIGLOT, _runs('reference/omniglot'))}\n"


def _presentations() -> str:
    told = (
        f"{PRESENTATIONS.source}, beside ours (one seed, 1,000 test episodes; `clbench run --config"
        " mann-omniglot`): accuracy in % on the nth drawing of a class, before its label is told. The"
        " paper's length is 1,600,000 training episodes, 16 a step; minutes are of one core of a busy"
        " AMD EPYC."
    )
    return f"{told}\n\n{presentations.markdown(PRESENTATIONS, _runs('reference/omniglot'))}\n"


def _retained() -> str:
    told = (
        f"{RIEMER2019.source}, 20 tasks of 1,000 MNIST images, one pass, 200 exemplars, MLP 100-100, beside ours"
        " (`clbench run --config mer-rotations`, `mer-permutations`): retained accuracy (RA, our average accuracy) and"
        " backward transfer and interference (BTI) in % ± half a 95 % t interval over the seeds; the paper's ± is its"
        " standard deviation. Its numbers are from memory, not checked. Seconds are of one core of a busy AMD EPYC."
    )
    return f"{told}\n\n{retained.markdown(RIEMER2019, _runs('reference/mnist-raw'))}\n"


def _temperature() -> str:
    told = (
        "MetaNet on class-incremental MNIST: average accuracy in % ± half a 95 % t interval (seeds), by"
        " the temperature of its attention (the paper's is 1) and the exemplars in memory."
    )
    runs = [*_runs("reference/mnist"), *_runs("ablations/mnist")]
    own = [run for run in runs if run.specification["strategy"]["name"] == "metanet"]
    return f"{told}\n\n{crossed.markdown(own, 'temperature', 'memory_size')}\n"


def _text(path: Path, body: str) -> tuple[Path, bytes]:
    return path, f"# {path.stem}\n\nMade by `results/build.py`; do not edit.\n\n{body}".encode()


def _table(folder: str, memory: str) -> Table:
    found = [table for table in _tables(folder) if table.facets["memory"] == memory]
    if len(found) != 1:
        raise ResultsError(f"{len(found)} tables of {folder} with {memory}; the README quotes one")
    return found[0]


@cache
def _tables(folder: str, online: bool | None = None) -> Sequence[Table]:
    return compare(groups(_of(folder, online)), SETTINGS)


def _of(folder: str, online: bool | None) -> Sequence[Run]:
    """Return the runs below a folder: of online streams, of others, or all."""
    runs = _runs(folder)
    if online is None:
        return runs
    return [run for run in runs if run.specification["scenario"]["options"]["online"] == online]


@cache
def _runs(folder: str) -> Sequence[Run]:
    """Return the runs below a folder of `RESULTS`; none where they are still to be made."""
    if not any((RESULTS / folder).rglob("*.json")):
        return ()
    found = collect([RESULTS / folder])
    if found.ignored:
        raise ResultsError("; ".join(found.ignored))
    return found.runs


if __name__ == "__main__":
    for path, content in files():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        click.echo(path.relative_to(RESULTS.parent))
