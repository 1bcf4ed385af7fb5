"""The Avalanche bridge: its strategies and benchmarks here, our streams there. Nothing else imports Avalanche."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clbench.avalanche.benchmarks import from_avalanche as from_avalanche
    from clbench.avalanche.benchmarks import to_avalanche as to_avalanche

__all__ = ["from_avalanche", "to_avalanche"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'clbench.avalanche' has no attribute {name!r}")
    from clbench.avalanche.importing import import_avalanche

    import_avalanche()
    from clbench.avalanche import benchmarks

    return getattr(benchmarks, name)
