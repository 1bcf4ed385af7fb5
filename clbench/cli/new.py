"""``clbench new``: a strategy, scenario or dataset of one's own to begin with, and its test."""

from __future__ import annotations

import importlib.util
import keyword
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

import click

from clbench.errors import ResultsError, UsageError
from clbench.registry import KINDS

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*")
_WORD_ENDS = re.compile(r"[-_]|(?<=[a-z0-9])(?=[A-Z])")
_LONGEST = 30
_NEXT = {
    "strategy": "clbench check {}",
    "scenario": "clbench run --scenario {} --strategy replay --strategy finetune",
    "dataset": "clbench run --dataset {} --scenario class-incremental --strategy replay",
}


@dataclass(frozen=True)
class Names:
    """What a new plug-in is called: ``my-method``, my_method.py, MyMethod."""

    typed: str
    module: str
    name: str
    """Of the class."""

    @classmethod
    def of(cls, typed: str) -> Names:
        """Return the names that follow from what was typed."""
        words = _WORD_ENDS.split(typed)
        module = "_".join(word.lower() for word in words)
        return cls(typed, module, "".join(word[0].upper() + word[1:] for word in words))

    def filled(self, text: str) -> str:
        """Return a template with the names in their places."""
        return Template(text).substitute(title=self.typed, module=self.module, name=self.name)


@click.command("new")
@click.argument("kind", type=click.Choice(list(KINDS.values())))
@click.argument("name")
def new_command(kind: str, name: str) -> None:
    """Write a strategy, scenario or dataset to begin with, and its test, into this folder.

    NAME such as my-method gives my_method.py with the class MyMethod, and test_my_method.py. Both work as they are.
    """
    templates = {prefix: _template(prefix + kind) for prefix in ("", "test_")}
    names = _checked(name, templates[""])
    written = {
        Path(f"{prefix}{names.module}.py"): names.filled(text) for prefix, text in templates.items()
    }
    _write(written)
    plugin = f"{names.module}.py:{names.name}"
    click.echo(f"Wrote {' and '.join(map(str, written))}.")
    click.echo(f"Next: {_NEXT[kind].format(plugin)}")


def _template(name: str) -> str:
    return files("clbench.templates").joinpath(f"{name}.template").read_text("utf-8")


def _checked(typed: str, template: str) -> Names:
    """Return the names, of which nothing that the files need is called already.

    Raises:
        UsageError: Says what is wrong with the name and what is allowed.
    """
    if not _NAME.fullmatch(typed) or len(typed) > _LONGEST:
        raise UsageError(
            f"{typed!r} is no valid name: it needs a letter first, then letters and digits, with"
            f" single - or _ between words, {_LONGEST} characters at most, as in my-method"
        )
    names = Names.of(typed)
    if keyword.iskeyword(names.module) or keyword.iskeyword(names.name):
        raise UsageError(f"{typed!r} is no valid name: it is a word of Python; try my-{typed}")
    if re.search(rf"\b{names.name}\b", template):
        raise UsageError(
            f"{typed!r} is no valid name: the file itself needs another {names.name}; try my-{typed}"
        )
    if not Path(f"{names.module}.py").exists() and importlib.util.find_spec(names.module):
        raise UsageError(
            f"{typed!r} is no valid name: {names.module}.py would hide the installed module"
            f" {names.module}; try my-{typed}"
        )
    return names


def _write(written: dict[Path, str]) -> None:
    """Write all files or none; what is there already stays as it is.

    Raises:
        UsageError: One of them exists.
        ResultsError: The folder cannot be written to.
    """
    for path in written:
        if path.exists() or path.is_symlink():
            raise UsageError(f"{path} exists already and is left as it is; choose another name")
    try:
        for path, text in written.items():
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise ResultsError(f"cannot write {path.absolute()}: {error.strerror}") from None
