"""``clbench report``: what is in the file, that it needs nothing else, and that no name does anything."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from clbench.cli import main
from tests.clbench.compare.records import failed, record, store

Capture = pytest.CaptureFixture[str]
TRAP = "<script>alert(1)</script>\"' onload='x' \\input{x}$x$ --> ]]> {{ 7 * 7 }} \x1b[2J"
VOID = {"meta", "link", "br", "path", "use", "rect", "image"}


class Page(HTMLParser):
    """The elements of a page, its text, and which elements were left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.text.setdefault(self.open[-1], []).append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def example(folder: Path) -> Path:
    """Return results with two tables, a failed and a skipped run and a foreign file."""
    records = [
        record(strategy, seed, (0.9, 0.6 + seed / 20, 0.8), hyper_parameters={"memory_size": size})
        for strategy in ("replay", "nearest")
        for seed in range(3)
        for size in (20, 200)
    ]
    skipped: dict[str, Any] = {"status": "skipped", "reason": "needs boundaries", "metrics": None}
    store(folder, [*records, failed("finetune", 0, "out of memory"), record("joint", 1, **skipped)])
    (folder / "foreign.json").write_text("{}")
    return folder


def made(folder: Path, *arguments: str) -> str:
    target = folder.parent / "report.html"
    assert main(["report", str(folder), "--output", str(target), *arguments]) == 0
    return target.read_text("utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(
        made(example(tmp_path_factory.mktemp("report") / "results"), "--baseline", "nearest")
    )


def test_every_element_is_closed_and_no_id_stands_twice(page: Page) -> None:
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    labels = {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a}
    assert labels <= set(ids)
    for _, attributes in page.elements:
        for value in attributes.values():
            for target in re.findall(r"url\(#([^)]+)\)", value or ""):
                assert target in ids


def test_headings_tables_and_pictures(page: Page) -> None:
    titles = [f"toy, 2 experiences, memory {size} balanced" for size in (20, 200)]
    assert page.text["h1"] == ["clbench report"]
    assert [title.partition(", several")[0] for title in page.text["h2"][1:3]] == titles
    assert page.text["h2"][3:] == [
        *("Across tables", "Runs without a result", "Specifications", "How to read it"),
    ]
    assert set(page.text["caption"]) == {
        "Results",
        "Difference to nearest, paired over the seeds",
        "Costs, means over the runs",
        "Failed and skipped runs",
    }
    assert all(cell.get("scope") in ("col", "row", "colgroup") for cell in page.all("th"))
    assert len(page.all("svg")) == 2 * 5 + 1
    images = [a for _, a in page.elements if a.get("role") == "img"]
    assert all(image["aria-label"] for image in images)
    assert len(images) == len(page.all("svg"))


def test_what_failed_was_skipped_or_left_out_is_said(page: Page) -> None:
    cells = page.text["td"]
    assert {"out of memory", "needs boundaries", "failed", "skipped"} <= set(cells)
    assert "foreign.json: not a result" in " ".join(page.text["li"])
    assert page.text["p"][0].startswith("12 finished runs, 1 failed, 1 skipped.")


def test_every_specification_has_its_command(page: Page) -> None:
    codes = page.text["code"]
    assert len(page.all("details")) == 6
    assert all("open" not in attributes for attributes in page.all("details"))
    commands = [code for code in codes if code.startswith("clbench run ")]
    assert sum("--seeds 0-2" in command for command in commands) == 4
    assert len([json.loads(code) for code in codes if code.startswith("{")]) == 6


def test_specifications_of_a_name_say_in_what_they_differ(page: Page) -> None:
    summaries = page.text["summary"]
    assert len(set(summaries)) == len(summaries)
    assert "replay on class-incremental, toy: memory_size=200" in summaries
    assert "joint on class-incremental, toy" in summaries


def test_the_file_needs_nothing_else(page: Page) -> None:
    """No address is fetched by an element, and the policy forbids it to all."""
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), value
    (policy,) = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert len(page.all("script")) == 1


def test_the_same_results_give_the_same_file(tmp_path: Path) -> None:
    folder = example(tmp_path / "results")
    assert made(folder) == made(folder)


def test_no_name_does_anything(tmp_path: Path) -> None:
    trap: dict[str, Any] = {
        "dataset": {"name": TRAP, "hash": "abc"},
        "scenario": TRAP,
        "hyper_parameters": {TRAP: TRAP},
        "protocol": {"head": TRAP},
        "provenance": {"commit": TRAP},
    }
    (tmp_path / "results").mkdir()
    bad = failed(TRAP, 1, TRAP, **{**trap, "hyper_parameters": {TRAP: "y"}})
    for name, one in (("a", record(TRAP, **trap)), ("b", bad)):
        (tmp_path / "results" / f"{name}.json").write_text(json.dumps(one), "utf-8")
    text = made(tmp_path / "results")
    found = Page(text)
    assert found.open == []
    assert len(found.all("script")) == 1
    assert "\x1b" not in text
    assert not any(name.startswith("on") for _, a in found.elements for name in a)
    assert "49" not in " ".join(found.text["h2"])
    assert any(heading.startswith("<script>alert(1)</script>") for heading in found.text["h2"])


def test_no_results(tmp_path: Path, capsys: Capture) -> None:
    target = tmp_path / "report.html"
    assert main(["report", str(tmp_path), "--output", str(target)]) == 1
    assert "no results below" in capsys.readouterr().err
    assert not target.exists()
