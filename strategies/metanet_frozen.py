"""Meta Networks whose θ was meta-trained on a base split and stays; on the stream, only the memory grows.

What was learnt on some classes answers for others, from their exemplars alone (docs/base-split.md).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clbench.specify import strategy_class

MetaNet, _ = strategy_class("metanet")  # by its name, as anyone would: no file here imports another


class MetaNetFrozenParameters(MetaNet.Parameters):  # type: ignore[name-defined, misc]
    """Hyper-parameters of MetaNet, ``frozen`` among them."""

    frozen: Literal[True] = Field(
        True, description="θ stays as the base split left it; only the memory grows"
    )


class MetaNetFrozen(MetaNet):  # type: ignore[valid-type, misc]
    """MetaNet that learns on the base split alone."""

    Parameters = MetaNetFrozenParameters
    needs_base = True
