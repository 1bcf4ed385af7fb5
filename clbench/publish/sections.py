"""Sections of a hand-written document that are rebuilt: what stands between a pair of markers.

A section is ``<!-- begin: NAME -->``, anything, ``<!-- end: NAME -->``, in Markdown or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from clbench.errors import ResultsError, unknown

_MARKED = re.compile(
    r"(?P<begin><!-- begin: (?P<name>\S+) -->\n)(?P<body>.*?)(?P<end><!-- end: (?P=name) -->)",
    re.DOTALL,
)


def fill(document: str, sections: Mapping[str, str]) -> str:
    """Return the document with the body of each marked section replaced.

    Raises:
        ResultsError: A section of the document is not given, or a given one is not marked in it.
    """
    marked = [match["name"] for match in _MARKED.finditer(document)]
    for name in marked:
        if name not in sections:
            raise ResultsError(unknown("section", name, sections))
    for name in sections:
        if name not in marked:
            raise ResultsError(
                f"no <!-- begin: {name} --> and <!-- end: {name} --> around a section"
            )
    return _MARKED.sub(
        lambda match: (
            match["begin"] + "\n" + sections[match["name"]].strip() + "\n\n" + match["end"]
        ),
        document,
    )
