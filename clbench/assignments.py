"""Parsing what is typed: ``key=value`` settings, for one owner or for all that know the key, and seeds."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clbench.errors import UsageError

MOST_SEEDS = 10_000


def parse_value(text: str) -> Any:
    """Return ``text`` as a TOML value if it is one, else as it stands."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def parse_assignment(text: str, option: str) -> tuple[str, Any]:
    """Return key and value of ``key=value``.

    Raises:
        UsageError: There is no ``=`` or no key.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"{option} takes key=value, not {text!r}")
    return key.strip(), parse_value(value.strip())


def share_out(
    assignments: Iterable[tuple[str, Any]], fields: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Return the settings of each owner.

    ``owner.key`` sets the key of one owner. A plain ``key`` sets it for every owner that has it; if none has, it goes
    to the first, whose validation then names what is allowed.

    Args:
        assignments: Keys and values, in order; a later one wins.
        fields: The keys each owner knows.
    """
    shares: dict[str, dict[str, Any]] = {owner: {} for owner in fields}
    for key, value in assignments:
        scoped = [owner for owner in fields if key.startswith(f"{owner}.")]
        if scoped:
            shares[scoped[0]][key.removeprefix(f"{scoped[0]}.")] = value
            continue
        knowing = [owner for owner, known in fields.items() if key in known]
        for owner in knowing or list(fields)[:1]:
            shares[owner][key] = value
    return shares


def parse_seeds(text: str, option: str = "--seeds") -> list[int]:
    """Return the seeds of ``0-4`` or ``0,2,5-7``, in order, each once.

    Raises:
        UsageError: It is not made of numbers and ranges, or names too many.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(
                f"{option} takes numbers and ranges such as 0-4 or 0,2,5-7, not {text!r}"
            )
        start, stop = int(first), int(last) if dash else int(first)
        if stop < start or stop - start >= MOST_SEEDS:
            raise UsageError(f"{option}: {part!r} must rise and name at most {MOST_SEEDS} seeds")
        seeds.update(dict.fromkeys(range(start, stop + 1)))
    return list(seeds)
