"""A bound on how long something may take that has no bound of its own."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread


def within(seconds: float, action: Callable[[], object]) -> None:
    """Does something in at most this time; it may go on alone in a daemon thread after that.

    Raises what the action raises, or TimeoutError.
    """
    raised: list[BaseException] = []

    def work() -> None:
        try:
            action()
        except BaseException as error:  # raised again by the caller's thread
            raised.append(error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer in {seconds:g} s")
    if raised:
        raise raised[0]
