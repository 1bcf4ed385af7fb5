"""Errors a user can act on: one clear sentence each, with the exit code of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches


class ClbenchError(Exception):
    """Something a user can mend; the message says what was wrong and what is allowed."""

    exit_code = 1


class UsageError(ClbenchError):
    """A wrong name, option or value (exit code 2)."""

    exit_code = 2


class DataError(ClbenchError):
    """Missing, damaged or unsafe data (exit code 1)."""


class ResultsError(ClbenchError):
    """A results folder or file that cannot be used (exit code 1)."""


class PluginWarning(UserWarning):
    """A plug-in, or a part of one, is left out; the message says why."""


class NonFiniteLossError(ClbenchError):
    """A loss became NaN or infinite; says where it happened first."""

    def __init__(self, experience: int | None, step: int) -> None:
        """Keep the place; experience None is the base split."""
        where = "the base split" if experience is None else f"experience {experience}"
        super().__init__(
            f"the loss became NaN or infinite in {where}, step {step}; a smaller lr usually helps"
        )
        self.experience = experience
        self.step = step


def unknown(what: str, name: str, allowed: Iterable[str]) -> str:
    """Return the sentence for an unknown name, with a did-you-mean and the allowed names."""
    names = sorted(set(allowed))
    by_lower = {allowed_name.lower(): allowed_name for allowed_name in names}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    hint = f" Did you mean {by_lower[close[0]]!r}?" if close else ""
    listed = ", ".join(names) if names else "(none)"
    return f"unknown {what} {name!r}.{hint} Allowed: {listed}."


@contextmanager
def about(where: str) -> Iterator[None]:
    """Let a `UsageError` begin with the place it is about, if there is one."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{where}: {error}" if where else str(error)) from None
