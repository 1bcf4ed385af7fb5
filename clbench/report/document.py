"""What the report shows: tables, pictures, specifications, as plain data, and the template that lays it out.

Strings from result files reach the template as data and are escaped there; only our own SVG is marked as safe, and it
holds no text: glyphs are outlines.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any

from clbench.compare.captions import footer, heading, protocols
from clbench.compare.collection import Collection, Run
from clbench.compare.comparability import groups
from clbench.compare.panels import Panel, panels
from clbench.compare.tables import Settings, Table, compare
from clbench.errors import ResultsError
from clbench.pictures import kinds
from clbench.pictures.charts import notes
from clbench.pictures.drawing import draw
from clbench.report.commands import command
from clbench.specification import canonical
from clbench.words import differing

_OF_A_TABLE = {
    "stream": "Average accuracy along the stream",
    "trade-off": "Accuracy against forgetting",
    "cost": "Accuracy against steps",
    "learning": "Meta-training: accuracy on validation episodes",
    "matrix": "Accuracy of each task after each experience, means",
    "tasks": "Accuracy of each task from the experience that taught it on",
}
"""Caption of each picture."""
_OF_ALL = "Accuracy against the memory's size"


@dataclass(frozen=True)
class Picture:
    """A picture, drawn as wide as a journal's column, so that a phone shows it whole."""

    caption: str
    svg: str
    notes: list[str]


@dataclass(frozen=True)
class Section:
    """A table of comparable rows and its pictures."""

    title: str
    protocols: list[str]
    panels: list[Panel]
    notes: list[str]
    pictures: list[Picture]


@dataclass(frozen=True)
class Recipe:
    """A specification, for all of its seeds, and how to run it again."""

    title: str
    command: str
    specification: str
    plugins: list[str]
    """What it needs that is not built in."""
    commits: list[str]
    """Of clbench, that the runs were made with."""


def report(collection: Collection, settings: Settings) -> str:
    """Return the report as HTML.

    Raises:
        UsageError: A metric or the baseline is unknown.
    """
    comparable = groups(collection.runs)
    tables = compare(comparable, settings)
    drawn = compare(comparable, Settings(kinds.METRICS, interval=settings.interval))
    memory = _picture("memory", _OF_ALL, drawn, settings) if len(drawn) > 1 else None
    return _render(
        heading=heading(tables),
        left_out=collection.ignored,
        counts=_counts(collection.runs),
        sections=[_section(table, own, settings) for table, own in zip(tables, drawn, strict=True)],
        memory=memory,
        unfinished=[run for run in collection.runs if not run.finished],
        recipes=list(_recipes(collection.runs)),
        footer=footer(tables, settings, "bold"),
    )


def _counts(runs: Sequence[Run]) -> dict[str, int]:
    """Return how many runs ended how."""
    found = {"ok": 0, "failed": 0, "skipped": 0}
    for run in runs:
        found[run.record["status"]] += 1
    return found


def _section(table: Table, drawn: Table, settings: Settings) -> Section:
    drawings = (_picture(kind, text, [drawn], settings) for kind, text in _OF_A_TABLE.items())
    pictures = list(filter(None, drawings))
    shown = panels(table, settings)
    return Section(table.title, protocols(table), shown, table.notes, pictures)


def _picture(
    kind: str, caption: str, tables: Sequence[Table], settings: Settings
) -> Picture | None:
    """Return a picture with ids of its own; None if no run has what it shows."""
    shown = kinds.panels(kind, tables, settings)
    try:
        svg = draw(shown, "svg").decode()
    except ResultsError:
        return None
    prefix = sha256(f"{kind} {[table.title for table in tables]}".encode()).hexdigest()[:8]
    return Picture(caption, inline(svg, prefix), notes(shown))


def inline(svg: str, prefix: str) -> str:
    """Return the element of an SVG file, without comments and metadata, its ids prefixed."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", element)


def _recipes(runs: Sequence[Run]) -> Iterator[Recipe]:
    """Yield a recipe for each specification, by strategy, scenario and dataset, in the order of the files."""
    by_title: dict[str, dict[str, list[Run]]] = {}
    for run in sorted(runs, key=lambda run: run.path):
        names = [run.specification[key]["name"] for key in ("strategy", "scenario", "dataset")]
        same = by_title.setdefault("{} on {}, {}".format(*names), {})
        same.setdefault(canonical(run.essence), []).append(run)
    for title, specifications in by_title.items():
        told = differing([_settings(own[0]) for own in specifications.values()])
        for own, words in zip(specifications.values(), told, strict=True):
            yield _recipe(f"{title}: {words}" if words else title, own)


def _settings(run: Run) -> dict[str, Any]:
    """Return what may differ between two specifications with the same names."""
    parts = run.essence
    strategy, scenario = parts["strategy"], parts["scenario"]
    return {
        **parts["protocol"],
        **scenario["options"],
        **strategy["hyper_parameters"],
        "dataset": parts["dataset"],
        "version of scenario": scenario.get("version"),
        "version of strategy": strategy.get("version"),
    }


def _recipe(title: str, runs: Sequence[Run]) -> Recipe:
    specification = runs[0].specification
    return Recipe(
        title=title,
        command=command(runs),
        specification=json.dumps(_without_seed(specification), indent=1, ensure_ascii=False),
        plugins=list(_plugins(specification)),
        commits=sorted({str((run.record.get("provenance") or {}).get("commit")) for run in runs}),
    )


def _without_seed(specification: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in specification.items() if key != "seed"}


def _plugins(specification: dict[str, Any]) -> Iterator[str]:
    for key in ("scenario", "strategy"):
        source = specification[key].get("source")
        if source is not None:
            yield f"{key} {specification[key]['name']} from a plug-in whose source hashes to {source}"


def _render(**content: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("clbench.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (files("clbench.report") / "sort.js").read_text("utf-8")
    return environment.get_template("template.html").render(
        **content,
        style=Markup((files("clbench.report") / "style.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
    )
