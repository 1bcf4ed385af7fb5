"""Importing torch, which takes seconds, as a command and its workers can afford it."""

from __future__ import annotations

import gc
import sys

from clbench.interrupts import held_back


def import_torch() -> None:
    """Import torch as a command can afford it.

    Ctrl-C is held back until it is there: interrupted half-way it aborts the process. Hardly anything of it is garbage,
    and looking through its 200,000 objects takes a tenth of a second, again and again while more is imported: what is
    there by then is not looked at any more.
    """
    if "torch" in sys.modules:
        return
    collects = gc.isenabled()
    gc.disable()
    try:
        with held_back():
            import torch  # noqa: F401
    finally:
        if collects:
            gc.enable()
    gc.freeze()
