"""`avalanche:NAME`: a classic benchmark of Avalanche, such as SplitMNIST, or your own from `FILE.py:OBJECT`.

NAME is a function of ``avalanche.benchmarks.classic``, called with 5 experiences and seed 0 where it takes them; OBJECT
a benchmark, or a function without arguments that returns one. The scenario ``given`` has its experiences as they are;
others deal the classes anew.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, ClassVar

from clbench.avalanche.importing import import_avalanche
from clbench.dataset import Arrays, DatasetReader
from clbench.errors import ClbenchError, DataError, UsageError, unknown
from clbench.registry import object_in_file


class Avalanche(DatasetReader):
    """The images, labels and experiences of a benchmark, as its evaluation transforms leave them."""

    argument: ClassVar[str | None] = "NAME"

    def source(self) -> str:
        """Return a hash of the name, Avalanche's version and the user's file."""
        given = self.given or ""
        own = object_in_file(given).source if ".py:" in given else ""
        said = f"{given}\n{version('avalanche-lib')}\n{own}"
        return hashlib.sha256(said.encode()).hexdigest()

    def read(self) -> Arrays:
        """Make the benchmark and read it once."""
        import_avalanche()
        from clbench.avalanche.benchmarks import arrays_of
        from clbench.avalanche.randomness import Randomness

        make, given = self._maker()
        try:
            with Randomness(0).here():
                return arrays_of(make(**given))
        except ClbenchError:
            raise
        except Exception as error:  # a download or a user's function may fail in any way
            raise DataError(
                f"the benchmark {self.given} could not be made with data in"
                f" {self.data_dir.absolute()}: {type(error).__name__}: {error}"
            ) from error

    def _maker(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return what makes the benchmark, and with which arguments."""
        given = self.given or ""
        if ".py:" in given:
            found = object_in_file(given).target
            return (found if callable(found) else lambda: found), {}
        make = _classic(given)
        taken = inspect.signature(make).parameters
        known = {"n_experiences": 5, "seed": 0, "dataset_root": self.data_dir}
        return make, {name: value for name, value in known.items() if name in taken}


def _classic(name: str) -> Callable[..., Any]:
    from avalanche.benchmarks import classic

    makers = {
        key: value
        for key, value in vars(classic).items()
        if inspect.isfunction(value) and "dataset_root" in inspect.signature(value).parameters
    }
    if name not in makers:
        raise UsageError(unknown("benchmark of Avalanche", name, makers))
    return makers[name]
