from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.assignments import parse_assignment, parse_seeds, parse_value, share_out
from clbench.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1),
        ("1e-3", 1e-3),
        ("3", 3),
        ("true", True),
        ("[256, 256]", [256, 256]),
        ('"a b"', "a b"),
        ("permuted", "permuted"),
        ("a b", "a b"),
        ("", ""),
    ],
)
def test_values_are_toml_else_strings(text: str, value: Any) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("text", ["lr", "=1", " =1"])
def test_assignment_without_key_or_equals_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="key=value"):
        parse_assignment(text, "-s")


def test_assignment_keeps_later_equals_signs() -> None:
    assert parse_assignment("name=a=b", "-s") == ("name", "a=b")


def test_plain_keys_go_to_all_who_know_them_and_scoped_ones_to_one() -> None:
    fields = {"replay": ["lr", "memory_size"], "nearest": ["memory_size"]}
    given = [("lr", 0.1), ("memory_size", 50), ("nearest.memory_size", 20)]
    assert share_out(given, fields) == {
        "replay": {"lr": 0.1, "memory_size": 50},
        "nearest": {"memory_size": 20},
    }


def test_a_key_nobody_knows_is_kept_for_validation() -> None:
    assert share_out([("lrr", 1)], {"a": ["lr"], "b": []}) == {"a": {"lrr": 1}, "b": {}}


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [3]), ("0-4", [0, 1, 2, 3, 4]), ("0,2,5-7,6", [0, 2, 5, 6, 7])]
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "-1", "1-", "4-0", "1.5", "0-99999999", "1,,2"])
def test_wrong_seeds_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--seeds"):
        parse_seeds(text)


@given(st.sets(st.integers(0, 1000), min_size=1, max_size=20))
def test_seeds_round_trip(seeds: set[int]) -> None:
    assert parse_seeds(",".join(map(str, sorted(seeds)))) == sorted(seeds)
