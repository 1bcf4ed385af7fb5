"""Panels drawn with matplotlib and seaborn: for print, for colour-blind readers, the same bytes every time."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from io import BytesIO
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any, Literal

from clbench.errors import ResultsError
from clbench.pictures.charts import Chart, HeatMap, Panel, Series, Span
from clbench.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["png", "svg", "pdf"]
COLUMN = 3.4
"""Inches: the width of a journal's column."""
MOST_PANELS = 60

_RC: Any = {
    "font.family": "DejaVu Sans",  # matplotlib brings it, so that no system's fonts matter
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 4,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.parse_math": False,  # a name is never a formula
    "svg.fonttype": "path",
    "svg.hashsalt": "clbench",
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
}
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None, "Type": None, "Format": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
_LEGEND_LINE = 0.16
"""Inches."""
_CHARACTERS = 15
"""To the inch, at 7 points."""
_HANDLE = 7
"""Characters that have room where a legend shows the line."""
_FAINT = 0.2
_MOST_TICKS = 8
_MOST_NUMBERS = 10
"""Tasks up to which each cell of a heat map shows its number."""
_DENSE = 50
"""Ratio of the ends of a logarithmic axis up to which 1, 2 and 5 of each decade are marked."""
_MARKERS = "osD^vPX<>"
_DASHES = ("-", "--", "-.", ":")


def draw(panels: Sequence[Panel], form: Format, width: float = COLUMN) -> bytes:
    """Return the panels as one picture, heat maps side by side and charts below each other.

    Args:
        panels: All of one kind.
        form: Of the file.
        width: In inches.

    Raises:
        ResultsError: There is nothing to draw, or more than fits into a picture.
    """
    if not any(map(_has_something, panels)):
        raise ResultsError("no run below the folders has what this picture shows")
    if len(panels) > MOST_PANELS:
        raise ResultsError(
            f"the picture would have {len(panels)} panels, more than {MOST_PANELS}; name fewer folders"
        )
    from matplotlib import rc_context

    with rc_context(_RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # drawn as a box
        figure = _figure(panels, width)
        content = BytesIO()
        figure.savefig(content, format=form, metadata=_METADATA[form])
    return content.getvalue()


def _has_something(panel: Panel) -> bool:
    return isinstance(panel, HeatMap) or any(series.points for series in panel.series)


def _figure(panels: Sequence[Panel], width: float) -> Figure:
    from matplotlib.figure import Figure

    maps = isinstance(panels[0], HeatMap)
    columns = min(len(panels), max(1, round(width / (COLUMN / 2 if maps else COLUMN))))
    rows = ceil(len(panels) / columns)
    labels = _labels(panels)
    abreast = _abreast(labels, width)
    height = rows * width / columns * (1.05 if maps else 0.66 if rows == 1 else 0.55)
    lines = sum(_wrapped(label, width).count("\n") + 1 for label in labels)
    height += _LEGEND_LINE * ceil(lines / abreast)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False, sharey=not maps).flat)
    for axes, panel in zip(grid, panels, strict=False):
        axes.set_title("\n".join(textwrap.wrap(panel.title, int(17 * width / columns))))
        if isinstance(panel, HeatMap):
            _map(axes, panel)
        else:
            _chart(axes, panel, labels)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    if maps:
        _bar(figure, grid)
    else:
        _legend(figure, panels, labels, abreast)
    return figure


def _labels(panels: Sequence[Panel]) -> list[str]:
    """Return what is drawn, each once: a label looks the same in every panel."""
    charts = [panel for panel in panels if isinstance(panel, Chart)]
    return list(dict.fromkeys(series.label for chart in charts for series in chart.series))


def _abreast(labels: Sequence[str], width: float) -> int:
    """Return how many labels fit side by side."""
    longest = max((len(label) for label in labels), default=0)
    return max(1, min(len(labels), int(_CHARACTERS * width / (longest + _HANDLE))))


def _wrapped(label: str, width: float) -> str:
    """Return a label of the legend in as many lines as it needs."""
    return "\n".join(textwrap.wrap(label, int(_CHARACTERS * width) - _HANDLE))


def _look(labels: Sequence[str], label: str) -> dict[str, Any]:
    """Return colour, marker and line of a label: no two of the first 180 share all three."""
    import seaborn

    place = labels.index(label)
    colours = seaborn.color_palette("colorblind")
    return {
        "color": colours[place % len(colours)],
        "marker": _MARKERS[place % len(_MARKERS)],
        "linestyle": _DASHES[place % len(_DASHES)],
    }


def _legend(figure: Figure, panels: Sequence[Panel], labels: Sequence[str], abreast: int) -> None:
    from matplotlib.lines import Line2D

    charts = [panel for panel in panels if isinstance(panel, Chart)]
    marked = {s.label for chart in charts for s in chart.series if not s.everywhere}
    handles = []
    for label in labels:
        look = _look(labels, label) | ({} if label in marked else {"marker": "none"})
        text = _wrapped(label, figure.get_figwidth())
        handles.append(Line2D([], [], label=text, **look))
    figure.legend(handles=handles, loc="outside lower center", ncols=abreast, handlelength=2.6)


def _bar(figure: Figure, grid: Sequence[Axes]) -> None:
    bar = figure.colorbar(
        grid[0].collections[0], ax=list(grid), location="bottom", shrink=0.6, aspect=30
    )
    bar.set_label("accuracy (%)")
    bar.outline.set_visible(False)


def _chart(axes: Axes, chart: Chart, labels: Sequence[str]) -> None:
    for series in chart.series:
        look = _look(labels, series.label)
        if series.everywhere:
            _level(axes, series.points[0].y, look)
        elif chart.joined:
            _line(axes, series, look)
        else:
            _crosses(axes, series, look)
    for span in chart.spans:
        _shade(axes, span)
    axes.set_xlabel(chart.x_name)
    axes.set_ylabel(chart.y_name)
    _scale(axes, chart)


def _level(axes: Axes, y: Estimate, look: dict[str, Any]) -> None:
    axes.axhline(y.value, color=look["color"], linestyle=look["linestyle"])
    if y.low is not None and y.high is not None:
        axes.axhspan(y.low, y.high, color=look["color"], alpha=_FAINT, linewidth=0)


def _shade(axes: Axes, span: Span) -> None:
    axes.axvspan(span.low, span.high, color="black", alpha=_FAINT / 3, linewidth=0)
    place, inside = (span.low + span.high) / 2, axes.get_xaxis_transform()
    axes.text(place, 0.98, span.words, transform=inside, ha="center", va="top", fontsize=6)


def _line(axes: Axes, series: Series, look: dict[str, Any]) -> None:
    x = [point.x.value for point in series.points]
    axes.plot(x, [point.y.value for point in series.points], **look)
    sure = [point.y for point in series.points]
    lows, highs = ([_end(y, name) for y in sure] for name in ("low", "high"))
    axes.fill_between(x, lows, highs, color=look["color"], alpha=_FAINT, linewidth=0)


def _end(found: Estimate, name: Literal["low", "high"]) -> float:
    """Return an end of the interval; the value itself where there is none."""
    end: float | None = getattr(found, name)
    return found.value if end is None else end


def _crosses(axes: Axes, series: Series, look: dict[str, Any]) -> None:
    for point in series.points:
        bars: Any = {
            f"{name}err": [[found.value - _end(found, "low")], [_end(found, "high") - found.value]]
            for name, found in (("x", point.x), ("y", point.y))
        }
        alone = {
            "linestyle": "none",
            "markeredgecolor": "white",
            "markeredgewidth": 0.3,
            "markersize": 5,
        }
        axes.errorbar(point.x.value, point.y.value, **bars, **look | alone)


def _scale(axes: Axes, chart: Chart) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    places = sorted({p.x.value for s in chart.series if not s.everywhere for p in s.points})
    if chart.counts:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    positive = [place for place in places if place > 0]
    if chart.scale != "log" or not positive:
        return
    first, last = positive[0], positive[-1]
    axes.set_xscale("symlog", linthresh=first, linscale=0.5)
    axes.set_xticks(places if chart.joined and len(places) <= _MOST_TICKS else _ticks(places))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    margin = (last / first) ** 0.05 if last > first else 1.5
    axes.set_xlim(-first / 5 if places[0] == 0 else first / margin, last * margin)


def _ticks(places: Sequence[float]) -> list[float]:
    """Return the decades between the places, halves and fifths too where these are few, and 0 if it is a place."""
    positive = [place for place in places if place > 0]
    steps = (1, 2, 5) if positive[-1] < _DENSE * positive[0] else (1,)
    decades = range(floor(log10(positive[0])), ceil(log10(positive[-1])) + 1)
    found = [float(step * 10.0**decade) for decade in decades for step in steps]
    inside = [tick for tick in found if positive[0] <= tick <= positive[-1]]
    return [0.0, *inside] if places[0] == 0 else inside or positive


def _map(axes: Axes, panel: HeatMap) -> None:
    import numpy as np
    import seaborn

    cells = np.array(panel.cells, dtype=np.float64)
    names = range(1, len(cells) + 1)
    seaborn.heatmap(
        cells,
        ax=axes,
        vmin=0,
        vmax=100,
        cmap="cividis",
        annot=len(cells) <= _MOST_NUMBERS,
        fmt=".0f",
        annot_kws={"size": 5.5},
        cbar=False,
        square=True,
        xticklabels=names,
        yticklabels=names,
    )
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_xlabel("task")
    axes.set_ylabel("after experience")
