"""`avalanche:NAME`: a strategy of Avalanche 0.6, or `avalanche:FILE.py:OBJECT`, your own for it.

NAME is a class of ``avalanche.training.supervised``: AGEM, CWRStar, CoPE, Cumulative, DER, ER_ACE, ER_AML, EWC,
FeatureReplay, FromScratchTraining, GDumb, GEM, GSS_greedy, GenerativeReplay, ICaRL, LFL, LwF, MAS, MER, MIR, Naive,
PNNStrategy, PackNet, Replay, SCR, StreamingLDA or SynapticIntelligence. ``clbench show strategy avalanche:NAME`` prints
its hyper-parameters and what changes a number; of the others, why they cannot run.

OBJECT is a subclass of Avalanche's ``SupervisedTemplate``, or plug-ins for ``Naive``: a list of them, or a function
that returns one. A killed run of these begins again: their state cannot be written as plain data.
"""

from __future__ import annotations

from importlib.metadata import version

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
        source = f"avalanche-lib {version('avalanche-lib')}"  # another one may give other numbers
        return Resolved(name, kinds.of_class(classes[rest]), None, source)
