"""The report in a headless Chromium: no console error, nothing fetched, columns sort, a phone shows it whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clbench.report.browser import CHROMIUM, DRIVER, Browser, browser
from tests.clbench.report.test_report import example, made

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed here"
)
COLUMN = """
const rows = document.querySelector("table.sortable").tBodies[0].rows;
return [...rows].map((row) => row.cells[0].textContent);
"""
PRESS = 'document.querySelectorAll("table.sortable th button")[{}].click()'


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    made(example(folder / "results"))
    return folder / "report.html"


@pytest.fixture(scope="module")
def opened(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as session:
        session.open(page)
        session.requested()  # by the browser's own first page
        yield session


def test_nothing_is_fetched_and_the_console_stays_empty(opened: Browser, page: Path) -> None:
    opened.open(page)
    fetched = [address for address in opened.requested() if not address.startswith("data:")]
    assert set(fetched) == {page.as_uri()}
    assert opened.console() == []


def test_the_policy_would_stop_what_slipped_through(opened: Browser, page: Path) -> None:
    opened.open(page)
    opened.run(
        "const e = document.createElement('div'); document.body.append(e);"
        "e.innerHTML = '<img src=x onerror=\"document.title=1\">';"
        "const s = document.createElement('script'); s.text = 'document.title = 2'; document.body.append(s);"
    )
    assert opened.run("return document.title") == "clbench report"
    assert opened.console()


def test_pressing_a_heading_sorts_the_rows(opened: Browser, page: Path) -> None:
    opened.open(page)
    before = opened.run(COLUMN)
    opened.run(PRESS.format(0))
    assert opened.run(COLUMN) == sorted(before)
    opened.run(PRESS.format(0))
    assert opened.run(COLUMN) == sorted(before, reverse=True)
    opened.run(PRESS.format(2))
    assert set(opened.run(COLUMN)[-2:]) == {"finetune", "joint"}  # they have no number
    opened.run(PRESS.format(2))
    assert set(opened.run(COLUMN)[-2:]) == {"finetune", "joint"}
    heading = 'return document.querySelectorAll("table.sortable th")[2].getAttribute("aria-sort")'
    assert opened.run(heading) == "descending"


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_in_both_schemes(
    opened: Browser, page: Path, width: int, scheme: str
) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    opened.tell("Emulation.setDeviceMetricsOverride", **size)
    opened.tell(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    opened.open(page)
    assert opened.run("return document.documentElement.scrollWidth") <= width
    paper = opened.run("return getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
