"""How numbers, metrics and protocols are said, wherever they are printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clbench.metrics import Metric
from clbench.specification import canonical


def percent(fraction: float, half: float | None = None) -> str:
    """Return a fraction in %, with the half-width of its interval if there is one."""
    return f"{100 * fraction:z.2f}" + (f" ± {100 * half:.2f}" if half is not None else "")


def counted(number: int, noun: str) -> str:
    """Return a number of things."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def ranges(numbers: Iterable[int], dash: str = "–") -> str:
    """Return numbers as ``0–4, 7``; with a hyphen as ``--seeds`` takes them, ``0-4,7``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    told = [f"{run[0]}{dash}{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return ("," if dash == "-" else ", ").join(told)


def spaced(name: str) -> str:
    """Return a metric's or budget's name as a heading."""
    return name.replace("_", " ")


def definition(metric: Metric[Any]) -> str:
    """Return a metric's definition and source in one line."""
    return f"{metric.name}: {metric.definition} ({metric.paper})."


def passes(specification: dict[str, Any]) -> int | None:
    """Return how often a run goes over an experience; None if it does not count in epochs."""
    if specification["scenario"]["options"].get("online"):
        return 1
    epochs = specification["strategy"]["hyper_parameters"].get("epochs")
    return epochs if type(epochs) is int else None


def memory(specification: dict[str, Any], examples: int) -> str:
    """Return how many exemplars a run keeps, and by which policy if it has one."""
    policy = specification["strategy"]["hyper_parameters"].get("memory_policy")
    return f"{examples:,}" + (f" {policy}" if policy else "")


def over_episodes(metrics: Mapping[str, Any]) -> str:
    """Return a run's interval over test episodes, if it is on episodes; never to be mixed with one over seeds."""
    half, episodes = metrics.get("ci95"), metrics.get("episodes")
    if half is None or episodes is None:
        return ""
    return f" (± {percent(half)} over {counted(episodes, 'episode')})"


OVER_EPISODES = "(± … over … episodes): half a 95 % t interval over the test episodes of one run."


def protocol_line(specification: dict[str, Any]) -> str:
    """Return the protocol of a run in one line."""
    options, protocol = specification["scenario"]["options"], specification["protocol"]
    usual = protocol["precision"] == "float32"
    precision = "" if usual else f"; computed in {protocol['precision']}"
    if "shots" in options:
        place = f"evaluated on {protocol['evaluated_on']} classes"
        return f"Protocol: {_episodes(options)}; {place}{precision}."
    order = options["class_order"]
    parts = [
        f"{protocol['head']} head",
        f"training mask {protocol['train_mask']}, test mask {protocol['test_mask']}",
        "task id given" if protocol["tells_task"] else "no task id at test",
        f"online, batch {options['batch_size']}" if options["online"] else "offline",
        "boundaries announced" if options["boundaries"] else "boundaries hidden",
        f"class order {order if isinstance(order, str) else 'given'}",
        f"evaluated on {protocol['evaluated_on']} data",
    ]
    if options.get("classes"):
        parts.append(f"{options['classes']} of the dataset's classes")
    if options.get("base_classes"):
        parts.append(f"base split of {options['base_classes']} other classes")
    if "shift" in options:
        parts.insert(0, f"shift {options['shift']}")
    return "Protocol: " + "; ".join(parts) + f"{precision}."


def _episodes(options: Mapping[str, Any]) -> str:
    ways, size = f"{options['ways']}-way", options.get("size")
    asked = f"{ways} {options['shots']}-shot, {options['queries']} queries of a class"
    if options.get("protocol") == "presentations":
        asked = f"{ways} sequences, {options.get('presentations', 10)} presentations of a class"
    parts = [
        asked,
        *([f"images of {size}×{size} pixels"] if size else []),
        counted(options["test_episodes"], "test episode"),
        f"rotations as classes: {options['rotations']}",
    ]
    if "split" in options:
        parts.append(f"split by {options['split']}")
    if "then" in options:
        parts.append(f"then {options['then']} under {options['permutations']} pixel permutations")
    return "; ".join(parts)


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return of each mapping, in words, the entries in which the mappings differ."""
    names = dict.fromkeys(name for mapping in settings for name in mapping)
    told = [n for n in names if len({canonical(mapping.get(n)) for mapping in settings}) > 1]
    return [
        ", ".join(f"{name}={in_words(mapping[name])}" for name in told if name in mapping)
        for mapping in settings
    ]


def in_words(value: Any) -> str:
    """Return a value as it is written in a configuration, a string without its quotes."""
    return value if isinstance(value, str) else canonical(value)
