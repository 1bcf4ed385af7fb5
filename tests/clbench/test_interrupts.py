"""Tests of Ctrl-C at moments when it must wait: it is not lost, nor are those who ignore it ended by it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from clbench.interrupts import held_back

_WORKER = """
import time
time.sleep(0.2)
from clbench.interrupts import ignore
ignore()
print("deaf", flush=True)
time.sleep(0.5)
"""


def interrupt() -> None:
    """Send this process what Ctrl-C sends."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)


@pytest.mark.parametrize("threads", [0, 1])
def test_an_interrupt_waits_and_is_not_lost(threads: int) -> None:
    """Another thread receives the signal where there is one."""
    done, reached = threading.Event(), False
    for _ in range(threads):
        threading.Thread(target=done.wait, daemon=True).start()
    with pytest.raises(KeyboardInterrupt), held_back():  # noqa: PT012
        interrupt()
        reached = True
    done.set()
    assert reached
    with pytest.raises(KeyboardInterrupt):  # as before
        interrupt()


def test_it_interrupts_what_failed_too() -> None:
    with pytest.raises(KeyboardInterrupt), held_back():  # noqa: PT012
        interrupt()
        raise OSError


def test_whoever_ignores_interrupts_still_does() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_back():
            interrupt()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_of_somebody_elses_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python says None of a handler that it did not install, and cannot put it back."""
    monkeypatch.setattr(signal, "getsignal", lambda _: None)
    monkeypatch.setattr(signal, "signal", lambda *_: pytest.fail("it was replaced"))
    with held_back():
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="signals cannot be blocked")
def test_a_process_started_meanwhile_is_not_interrupted_before_it_ignores_interrupts() -> None:
    with held_back():
        process = subprocess.Popen([sys.executable, "-c", _WORKER], stdout=subprocess.PIPE)
    with process:
        process.send_signal(signal.SIGINT)  # it has not said yet that it ignores this
        assert process.stdout is not None
        assert process.stdout.readline() == b"deaf\n"
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0
