"""Marked sections are replaced, the rest stays, and nothing is filled in silently at the wrong place."""

from __future__ import annotations

import pytest

from clbench.errors import ResultsError
from clbench.publish.sections import fill

DOCUMENT = """prose
<!-- begin: a -->
old
<!-- end: a -->
more
<!-- begin: b -->
<!-- end: b -->
"""


def test_bodies_are_replaced_and_a_second_time_changes_nothing() -> None:
    filled = fill(DOCUMENT, {"a": r"new \1", "b": "| x |\n"})
    assert filled == (
        "prose\n<!-- begin: a -->\n\nnew \\1\n\n<!-- end: a -->\nmore\n"
        "<!-- begin: b -->\n\n| x |\n\n<!-- end: b -->\n"
    )
    assert fill(filled, {"a": r"new \1", "b": "| x |"}) == filled


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"a": ""}, "unknown section 'b'"),
        ({"a": "", "b": "", "c": ""}, "no <!-- begin: c -->"),
    ],
)
def test_a_section_too_few_or_too_many(sections: dict[str, str], sentence: str) -> None:
    with pytest.raises(ResultsError, match=sentence):
        fill(DOCUMENT, sections)


def test_a_section_without_its_end_is_none() -> None:
    with pytest.raises(ResultsError, match="end: a"):
        fill("<!-- begin: a -->\n<!-- end: b -->\n", {"a": ""})
