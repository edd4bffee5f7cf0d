"""A signal ends a command in order: files whole, one line said, exit code 128 + its number."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from condenser.runs import started

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, a polite kill, a closed terminal
TWICE = 1.0  # seconds: within them a signal that comes again is the same one, sent to a group too


class Interrupted(SystemExit):
    """A signal asked this process to end. No Exception: whoever handles errors lets it through."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.status = 128 + number


class _Heard:
    """What has come to this process so far."""

    owner = number = 0
    when = 0.0


def came() -> int:
    """The number of the signal that asked this process to end; 0: none did."""
    return _Heard.number


def check() -> None:
    """Raise Interrupted again where code between swallowed it, as destructors do."""
    if _Heard.number:
        raise Interrupted(_Heard.number)


def end(number: int, frame: Any) -> None:
    """The handler: raises Interrupted in the process that listens, ends those it has forked."""
    if os.getpid() != _Heard.owner:
        if number == signal.SIGINT:
            raise KeyboardInterrupt  # which workers that load data know
        os._exit(128 + number)
    again = _Heard.number and time.monotonic() - _Heard.when < TWICE
    if not again:
        _Heard.number, _Heard.when = number, time.monotonic()
        raise Interrupted(number)


def listen() -> None:
    """Set the handlers once more where a library has put others in their place."""
    if _Heard.owner == os.getpid() and threading.current_thread() is threading.main_thread():
        for number in _numbers():
            signal.signal(number, end)


@contextmanager
def in_order(name: str, speaks: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Within it a signal raises Interrupted; at its end one line on stderr names the command.

    A signal that is ignored, as nohup has it, stays ignored. Of several processes of a run one
    ``speaks``.
    """
    command = shlex.join(started.words())
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _numbers()} if main else {}
    _Heard.owner = os.getpid()
    listen()
    try:
        yield
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            _Heard.number = _Heard.number or signal.SIGINT
        if not _Heard.number:
            raise
        if speaks():
            with suppress(OSError):  # the terminal has gone
                said = f"{name}: interrupted; rerun the same command to resume: {command}"
                print(said, file=sys.stderr, flush=True)
        raise Interrupted(_Heard.number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _Heard.owner = _Heard.number = 0


def _numbers() -> list[signal.Signals]:
    """The signals that are heard: those that nobody has this process ignore."""
    there = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    return [number for number in there if signal.getsignal(number) != signal.SIG_IGN]
