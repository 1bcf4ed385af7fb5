"""Running the checks of a strategy: a verdict for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from clbench.blame import blamed, raised
from clbench.conformance.checks import CHECKS, Check, NotHereError, ViolationError
from clbench.conformance.toys import SCENARIOS, Subject, stream_of


@dataclass(frozen=True)
class Verdict:
    """How a check went."""

    name: str
    promise: str
    status: Literal["ok", "failed", "skipped"]
    reason: str = ""
    """What was seen, and in which scenario; why it was skipped."""


def taken_part_in(subject: Subject) -> tuple[list[str], dict[str, str]]:
    """Return the scenarios that a strategy takes part in, and why not in the others."""
    with blamed(subject.kind.__name__):
        found = {name: subject.reason_against(stream_of(subject, name).info) for name in SCENARIOS}
    against = {name: reason for name, reason in found.items() if reason is not None}
    return [name for name in SCENARIOS if name not in against], against


def verdicts(subject: Subject, scenarios: list[str]) -> Iterator[Verdict]:
    """Yield the verdict of every check, each made in every scenario until one fails; on one thread, as runs are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for check in CHECKS:
            yield _verdict(check, subject, scenarios)
    finally:
        torch.set_num_threads(before)


def _verdict(check: Check, subject: Subject, scenarios: list[str]) -> Verdict:
    for scenario in scenarios:
        try:
            check.run(subject, scenario)
        except NotHereError as reason:
            return Verdict(check.name, check.promise, "skipped", str(reason))
        except ViolationError as seen:
            return Verdict(check.name, check.promise, "failed", f"{scenario}: {seen}")
        except (
            Exception,
            SystemExit,
        ) as error:  # a user's code may fail in any way; the other checks go on
            told = f"{scenario}: raised {raised(error)}"
            return Verdict(check.name, check.promise, "failed", told)
    return Verdict(check.name, check.promise, "ok")
