"""Tables for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from clbench.compare.captions import footer, heading, protocols
from clbench.compare.panels import Panel, Text, panels
from clbench.compare.tables import Settings, Table


def terminal(tables: Sequence[Table], settings: Settings, width: int = 100) -> str:
    """Return plain text; panels wider than ``width`` are broken into several below each other."""
    blocks = [wrapped(heading(tables), width)]
    for table in tables:
        title = wrapped([table.title], width)
        blocks.append("\n".join([title, wrapped(protocols(table), width, "  ")]))
        blocks += [grid(panel, width) for panel in panels(table, settings)]
        blocks.append(wrapped(table.notes, width))
    blocks.append(wrapped(footer(tables, settings, "*"), width))
    return "\n\n".join(block for block in blocks if block) + "\n"


def wrapped(lines: Sequence[str], width: int, indent: str = "") -> str:
    """Return the lines filled to ``width``, what continues one indented further."""
    fill = textwrap.TextWrapper(
        width, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False
    )
    return "\n".join(fill.fill(line) for line in lines)


def grid(panel: Panel, width: int, corner: str = "strategy") -> str:
    """Return a panel, in several parts if it is wider than ``width``; ``corner`` is above the labels."""
    return "\n".join(_Grid(panel, corner).lines(width))


class _Grid:
    """A panel laid out in columns of fixed width."""

    def __init__(self, panel: Panel, corner: str) -> None:
        self._panel, self._corner = panel, corner
        self._margin = 1 + max(len(label) for label in [corner, *(r[0] for r in panel.rows)])
        places = range(len(panel.columns))
        bodies = [[_starred(texts[place]) for _, texts in panel.rows] for place in places]
        self._heads = [_stacked(panel.columns[i][1], bodies[i]) for i in places]
        self._widths = [max(map(len, [*self._heads[i], *bodies[i]])) for i in places]

    def lines(self, width: int) -> Iterator[str]:
        """Yield the panel in parts that fit into ``width``."""
        if self._panel.title:
            yield f"{self._panel.title}:"
        for number, part in enumerate(self._parts(width - self._margin)):
            if number:
                yield ""
            yield from self._head(part)
            for label, texts in self._panel.rows:
                yield self._line(label, part, [_starred(texts[place]) for place in part])

    def _parts(self, room: int) -> Iterator[list[int]]:
        """Yield columns that fit together; a scenario is broken up only if it does not fit alone."""
        part: list[int] = []
        for _, own in groupby(range(len(self._widths)), self._scenario):
            columns = list(own)
            whole = self._span(columns) <= room
            for piece in [columns] if whole else [[place] for place in columns]:
                if part and self._span(part + piece) > room:
                    yield part
                    part = []
                part = part + piece
        yield part

    def _scenario(self, place: int) -> str:
        return self._panel.columns[place][0]

    def _span(self, places: Sequence[int]) -> int:
        return sum(self._widths[place] + 1 for place in places)

    def _head(self, part: Sequence[int]) -> Iterator[str]:
        """Yield the scenarios, if there are several, and the names of the columns."""
        if len({scenario for scenario, _ in self._panel.columns}) > 1:
            spans = [(name, list(own)) for name, own in groupby(part, self._scenario)]
            above = [f"{name:^{self._span(own) - 1}}" for name, own in spans]
            yield " ".join([" " * self._margin, *above]).rstrip()
        height = max(len(self._heads[place]) for place in part)
        for line in range(height):
            above = [([""] * height + self._heads[place])[line - height] for place in part]
            yield self._line(self._corner if line == height - 1 else "", part, above)

    def _line(self, label: str, part: Sequence[int], cells: Sequence[str]) -> str:
        padded = [f"{c:>{self._widths[place]}}" for c, place in zip(cells, part, strict=True)]
        return " ".join([f"{label:<{self._margin}}", *padded]).rstrip()


def _stacked(name: str, body: Sequence[str]) -> list[str]:
    """Return a column's name in lines no wider than its body, or than its longest word."""
    room = max(map(len, [*name.split(), *body]))
    return [f"{line} " for line in textwrap.wrap(name, room)]


def _starred(text: Text) -> str:
    return text.text + ("*" if text.marked else " ")
