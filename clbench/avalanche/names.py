"""`avalanche:NAME`: a strategy of Avalanche 0.6, or `avalanche:FILE.py:OBJECT`, your own for it."""

from __future__ import annotations

from clbench.avalanche.importing import import_avalanche
from clbench.errors import UsageError, unknown
from clbench.registry import Prefix, Resolved, object_in_file


class Strategies(Prefix):
    """What follows ``avalanche:`` where a strategy is named."""

    wants = "NAME"

    def find(self, name: str, rest: str) -> Resolved:
        """Return the class of the strategy ``rest`` names: Avalanche's, or a user's from a file."""
        import_avalanche()
        from clbench.avalanche import kinds

        if ".py:" in rest:
            found = object_in_file(rest)
            return Resolved(name, kinds.of_object(rest, found.target), None, found.source)
        classes = kinds.classes()
        if rest not in classes:
            raise UsageError(unknown("strategy of Avalanche", rest, classes))
        return Resolved(name, kinds.of_class(classes[rest]), None, None)
