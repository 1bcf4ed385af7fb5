"""Tables as Markdown and as LaTeX; every text is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from clbench.compare.captions import footer, heading, protocols
from clbench.compare.panels import Panel, Text, panels
from clbench.compare.tables import Settings, Table


def markdown(tables: Sequence[Table], settings: Settings) -> str:
    """Return Markdown with pipe tables; what is best is bold."""
    blocks = [_bullets(heading(tables))]
    for table in tables:
        blocks += [f"### {markdown_escape(table.title)}", _bullets(protocols(table))]
        for panel in panels(table, settings):
            blocks.append(f"**{markdown_escape(panel.title)}**" if panel.title else "")
            blocks.append(pipes(panel))
        blocks.append(_bullets(table.notes))
    blocks.append(_bullets(footer(tables, settings, "bold")))
    return "\n\n".join(block for block in blocks if block) + "\n"


def markdown_escape(text: str) -> str:
    """Return the text with Markdown's and HTML's special characters escaped."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"* {markdown_escape(line)}" for line in lines)


def pipes(panel: Panel) -> str:
    """Return a panel as a pipe table."""
    several = len(panel.spans) > 1
    heads = [f"{scenario}: {name}" if several else name for scenario, name in panel.columns]
    lines = [["strategy", *map(markdown_escape, heads)], ["---", *("---:" for _ in heads)]]
    for label, texts in panel.rows:
        cells = [markdown_escape(text.text) for text in texts]
        bold = [f"**{c}**" if t.marked else c for c, t in zip(cells, texts, strict=True)]
        lines.append([markdown_escape(label), *bold])
    return "\n".join(map(pipe, lines))


def pipe(cells: Sequence[str]) -> str:
    """Return a line of a pipe table."""
    return f"| {' | '.join(cells)} |"


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",  # after \\ it would begin an optional argument
    "]": "{]}",
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "…": r"\ldots{}",
    "–": "--",
}


def latex_escape(text: str) -> str:
    """Return the text with nothing in it that LaTeX would execute; a minus before a digit is a real one."""
    escaped = "".join(_LATEX.get(character, character) for character in text)
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", escaped)


def latex(tables: Sequence[Table], settings: Settings) -> str:
    """Return LaTeX for the package booktabs; what is best is bold."""
    blocks = [r"% Needs \usepackage{booktabs}.", _small(heading(tables))]
    for table in tables:
        blocks += ["\n".join(_float(table.title, panel)) for panel in panels(table, settings)]
        blocks.append(_small([*protocols(table), *table.notes]))
    blocks.append(_small(footer(tables, settings, "bold")))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _small(lines: Sequence[str]) -> str:
    said = [latex_escape(line) + r"\par" for line in lines]
    return "\n".join([r"{\footnotesize\noindent", *said, "}"]) if lines else ""


def _float(title: str, panel: Panel) -> Iterator[str]:
    caption = f"{title}. {panel.title}".strip(" .") + "."
    yield from (r"\begin{table}", r"\centering", rf"\caption{{{latex_escape(caption)}}}")
    yield rf"\begin{{tabular}}{{l{'r' * len(panel.columns)}}}"
    yield r"\toprule"
    yield from _spans(panel)
    yield _line(["strategy", *(latex_escape(name) for _, name in panel.columns)])
    yield r"\midrule"
    for label, texts in panel.rows:
        yield _line([latex_escape(label), *map(_bold, texts)])
    yield from (r"\bottomrule", r"\end{tabular}", r"\end{table}")


def _spans(panel: Panel) -> Iterator[str]:
    """Yield a line of scenarios above their columns, if there are several."""
    if len(panel.spans) < 2:
        return
    heads = (rf"\multicolumn{{{n}}}{{c}}{{{latex_escape(s)}}}" for s, n in panel.spans)
    yield _line(["", *heads])
    first = 2
    for _, count in panel.spans:
        yield rf"\cmidrule(lr){{{first}-{first + count - 1}}}"
        first += count


def _bold(text: Text) -> str:
    escaped = latex_escape(text.text)
    return rf"\textbf{{{escaped}}}" if text.marked else escaped


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
