"""Ctrl-C at moments when it must wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

_MASKS = hasattr(signal, "pthread_sigmask")  # not on Windows


@contextmanager
def held_back() -> Iterator[None]:
    """Let SIGINT wait until the end; it is not lost.

    Where signals can be blocked (not on Windows), a process that is started meanwhile begins with SIGINT blocked, until
    it calls `ignore`. Where other threads run, one of them receives the signal; Python's handler, which is called in
    the main thread, waits then.
    """
    main = threading.current_thread() is threading.main_thread()
    handled = (
        main and signal.getsignal(signal.SIGINT) is not None
    )  # else by somebody else than Python
    with _handler_held_back() if handled else nullcontext(), _blocked():
        yield


def ignore() -> None:
    """Ignore SIGINT from now on, and one that is pending."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if _MASKS:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def _handler_held_back() -> Iterator[None]:
    came: list[int] = []

    def remember(number: int, _: FrameType | None) -> None:
        came.append(number)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def _blocked() -> Iterator[None]:
    if not _MASKS:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
