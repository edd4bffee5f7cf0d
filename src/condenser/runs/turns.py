"""Several pieces of work in one thread: each goes on until it waits for a lock or the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, TextIO

PAUSE = 0.05  # seconds between looks where everybody waits


@dataclass(eq=False)
class Turn:
    """A piece of work, and how it stands.

    Attributes:
        out: where what it prints goes; None: where the process's does.
        ended: called where it is over, outside of it.
        asked: what it waits to be done for it; None while it goes on, or waits for a lock.
        over: it has ended, with ``value`` or ``error``.
    """

    work: Callable[[], Any]
    out: TextIO | None = None
    ended: Callable[[Turn], None] = lambda turn: None
    asked: Any = None
    over: bool = False
    value: Any = None
    error: Exception | None = None
    thread: Any = field(default=None, repr=False)

    def do(self) -> None:
        """In its own stack."""
        current.set(self)
        try:
            self.value = self.work()
        except Exception as error:  # costs this one only; an interrupt goes on to all
            self.error = error
        self.over = True

    def wait(self, asked: Any = None) -> None:
        """Let the others go on, until ``asked`` has been done or there is another look."""
        self.asked = asked
        self.thread.parent.switch()


current: ContextVar[Turn | None] = ContextVar("turn", default=None)


def pause() -> None:
    """What waits for something outside this process, or for another turn, calls this in a loop."""
    turn = current.get()
    if turn is None:
        time.sleep(PAUSE)
    else:
        turn.wait()


def take(turns: Sequence[Turn], serve: Callable[[list[Any]], None]) -> None:
    """Have all of them done.

    What several ask for is served together: ``serve`` gets what they asked for once none can go on
    without. An interrupt of one ends all, each in its own order.
    """
    from greenlet import greenlet

    for turn in turns:
        turn.thread = greenlet(turn.do)
        turn.thread.gr_context = copy_context()
    try:
        while left := [turn for turn in turns if not turn.over]:
            go_on(left)
            if asking := [turn for turn in left if turn.asked is not None]:
                serve([turn.asked for turn in asking])
                for turn in asking:
                    turn.asked = None
            elif not all(turn.over for turn in left):
                time.sleep(PAUSE)
    except BaseException as error:
        for turn in turns:
            if turn.thread and not turn.thread.dead:
                end(turn, error)
        raise


def go_on(turns: Sequence[Turn]) -> None:
    """Each in turn, until all that are not over ask, or wait for what none of them will bring."""
    moved = True
    while moved:
        moved = False
        for turn in turns:
            if not turn.over and turn.asked is None:
                switch(turn)
                if turn.over:
                    turn.ended(turn)
                moved |= turn.over or turn.asked is not None


def switch(turn: Turn, *error: BaseException) -> None:
    with ExitStack() as around:
        if turn.out is not None:
            around.enter_context(redirect_stdout(turn.out))
            around.enter_context(redirect_stderr(turn.out))
        turn.thread.throw(*error) if error else turn.thread.switch()


def end(turn: Turn, error: BaseException) -> None:
    """Have it close what it has open."""
    with suppress(BaseException):  # it is on its way out
        switch(turn, error)
