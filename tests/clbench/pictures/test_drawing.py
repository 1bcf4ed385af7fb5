"""Files of pictures: every kind and format, the same bytes twice, names that are traps."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from io import BytesIO
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image

from clbench.cli import main, plot
from clbench.errors import ResultsError
from clbench.pictures.charts import Chart, HeatMap, Point, Series, exactly
from clbench.pictures.drawing import MOST_PANELS, Format, draw
from clbench.pictures.kinds import KINDS
from tests.clbench.compare.records import record, store

Capture = pytest.CaptureFixture[str]
TRAP = "<script>alert(1)</script>$\\frac{x$--> \\input{x}"


TRACE = [
    {"experience": 1, "step": 9, "accuracy": [0.9]},
    {"experience": 2, "step": 4, "accuracy": [0.7, 0.5]},
    {"experience": 2, "step": 9, "accuracy": [0.6, 0.8]},
]

CURVE = [{"episodes": 100, "accuracy": 0.5}, {"episodes": 200, "accuracy": 0.7}]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two sizes of memory, two seeds, and a run without a step."""
    records = [
        record(
            strategy,
            seed,
            (0.9, 0.6 + seed / 10, 0.8),
            hyper_parameters={"memory_size": size},
            anytime=TRACE,
        )
        | {"learning_curve": CURVE}
        for strategy in ("replay", "nearest")
        for seed in range(2)
        for size in (20, 200)
    ]
    records.append(record("joint", budget={"steps": 0}))
    return store(tmp_path_factory.mktemp("pictures") / "results", records)


@pytest.mark.parametrize(
    ("kind", "form"),
    [(kind, "svg") for kind in KINDS]
    + [("matrix", form) for form in get_args(Format) if form != "svg"],
)
def test_a_file_of_every_kind_and_format(
    kind: str, form: str, results: Path, tmp_path: Path, capsys: Capture
) -> None:
    files = [tmp_path / f"{name}.{form}" for name in "ab"]
    for file in files:
        assert main(["plot", kind, str(results), "--output", str(file)]) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes()[:5] in (b"\x89PNG\r", b"<?xml", b"%PDF-")
    said = capsys.readouterr()
    assert said.out == ""
    assert "2 tables, since only comparable rows share one; these differ in memory" in said.err


@pytest.mark.parametrize("words", [1, 8, 30])
def test_no_label_is_cut_however_long(words: int) -> None:
    label = "metanet " + ", ".join(f"setting_{n}=true" for n in range(words))
    point = Point(exactly(1), exactly(50))
    chart = Chart("", "x", "y", (Series(label, (point,)), Series("replay", (point,))))
    picture = Image.open(BytesIO(draw([chart], "png"))).convert("L")
    right, lowest = picture.width - 1, picture.height - 1
    edges = [(0, 0, 1, lowest), (right, 0, right + 1, lowest), (0, lowest, right, lowest + 1)]
    assert all(picture.crop(edge).getextrema() == (255, 255) for edge in edges)


def test_the_command_knows_every_kind() -> None:
    assert list(plot.KINDS) == list(KINDS)


def test_another_process_writes_the_same_bytes(results: Path, tmp_path: Path) -> None:
    """Neither the hash seed of a process nor its backend is in the file."""
    files = []
    for seed in ("1", "2"):
        files.append(tmp_path / f"{seed}.svg")
        command = [sys.executable, "-m", "clbench", "plot", "stream", str(results)]
        command += ["--output", str(files[-1])]
        environment = {"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        subprocess.run(command, check=True, capture_output=True, env=environment)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_width_is_that_of_a_column_or_as_asked(results: Path, tmp_path: Path) -> None:
    for arguments, pixels in (([], 1020), (["--width", "5"], 1500)):
        path = tmp_path / "width.png"
        assert main(["plot", "cost", str(results), "--output", str(path), *arguments]) == 0
        assert Image.open(BytesIO(path.read_bytes())).width == pixels


def test_names_are_inert() -> None:
    """No formula is parsed, no element appears, and no comment ends early."""
    chart = Chart(TRAP, TRAP, TRAP, (Series(TRAP, (Point(exactly(1), exactly(2)),)),))
    for panel in (chart, HeatMap(TRAP, ((1.0,),))):
        text = draw([panel], "svg").decode()
        assert "<script" not in text
        names = {element.tag.rpartition("}")[2] for element in ET.fromstring(text).iter()}
        assert names <= {"svg", "metadata", "RDF", "Work", "type", "defs", "style", "g", "path"} | {
            *("use", "clipPath", "rect", "image", "pattern", "text", "tspan", "pcolormesh"),
        }


def test_a_name_that_no_font_has() -> None:
    assert draw([Chart("", "", "", (Series("方法", (Point(exactly(1), exactly(2)),)),))], "png")


def test_two_looks_are_never_the_same() -> None:
    from clbench.pictures.drawing import _look

    labels = [str(number) for number in range(100)]
    assert len({str(_look(labels, label)) for label in labels}) == 100


def test_nothing_to_draw_and_too_much() -> None:
    with pytest.raises(ResultsError, match="no run below the folders"):
        draw([], "svg")
    with pytest.raises(ResultsError, match="no run below the folders"):
        draw([Chart("", "", "", (Series("x", ()),))], "svg")
    with pytest.raises(ResultsError, match="61 panels"):
        draw([HeatMap("", ((1.0,),))] * (MOST_PANELS + 1), "svg")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["stream", "{}/empty", "--output", "{}/x.svg"], 1, "no results below"),
        (["stream", "{}/nowhere", "--output", "{}/x.svg"], 1, "does not exist"),
        (["strem", "{}", "--output", "{}/x.svg"], 2, "'strem' is not one of"),
        (["stream", "{}", "--output", "{}/x.jpg"], 2, "must end in .png, .svg or .pdf"),
        (["stream", "{}", "--against", "steps", "--output", "{}/x.svg"], 2, "--against is for"),
        (["cost", "{}", "--against", "bytes", "--output", "{}/x.svg"], 2, "takes steps or seconds"),
        (["stream", "{}"], 2, "Missing option '--output'"),
    ],
)
def test_wrong_usage(
    results: Path, capsys: Capture, arguments: list[str], code: int, sentence: str
) -> None:
    (results / "empty").mkdir(exist_ok=True)
    assert main(["plot", *(argument.format(results) for argument in arguments)]) == code
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert not (results / "x.svg").exists()
