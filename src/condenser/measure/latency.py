"""Latency measured so that models can be compared. All times in milliseconds."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter, perf_counter_ns

import torch
from torch import Tensor, nn

from condenser.capture import device_of, evaluating
from condenser.capture.conditions import settled

ROUNDS = 100
BUDGET_S = 0.25  # seconds per model, as it runs at the end of every stage
LEAST_ROUNDS = 3  # minimum number of calls, for quartiles

Call = Callable[[], object]


def latency(call: Call, *, rounds: int = ROUNDS, budget_s: float = BUDGET_S) -> dict[str, float]:
    """{median, iqr, min, n}: milliseconds of one ``call`` over n of them, after a warm-up.

    Ends after ``rounds`` calls or ``budget_s`` seconds, a fifth of them for warm-up, but after at
    least one warm-up and 3 measured calls. iqr: third minus first quartile.
    """
    return _summary(_rounds([call], rounds, budget_s)[0])


def interleaved(
    calls: dict[str, Call], *, rounds: int = ROUNDS, budget_s: float = 2.0
) -> dict[str, dict[str, float]]:
    """``latency`` of several calls, interleaved (A B A B …), so that machine drift (heat, load)
    affects all equally.

    Adds ratio: the median over rounds of time(first named) / time(this one): above 1 is faster
    than the first; ratio_iqr: its third minus first quartile.
    """
    if not calls:
        return {}
    times = _rounds(list(calls.values()), rounds, budget_s)
    result = {}
    for name, own in zip(calls, times, strict=True):
        ratios = [first / this for first, this in zip(times[0], own, strict=True)]
        spread = _summary(ratios)
        result[name] = _summary(own) | {"ratio": spread["median"], "ratio_iqr": spread["iqr"]}
    return result


def torch_latency(
    model: nn.Module, example: Tensor, threads: int = 1, *, budget_s: float = BUDGET_S
) -> dict[str, float | int | str]:
    """{ms_b1, iqr_b1, runtime, threads} of an eager model; b1 is the batch size of ``example``."""
    with evaluating(model), settled(threads):
        times = latency(torch_call(model, example), budget_s=budget_s)
    return _named(times, len(example), f"torch-eager {device_of(model).type}", threads)


def call_latency(
    call: Call, batch: int, runtime: str, threads: int = 1, *, budget_s: float = BUDGET_S
) -> dict[str, float | int | str]:
    """``torch_latency``'s keys for any ``call`` on ``batch`` images, of a runtime by its name."""
    with settled(threads):
        times = latency(call, budget_s=budget_s)
    return _named(times, batch, runtime, threads)


def torch_call(model: nn.Module, example: Tensor) -> Call:
    """One forward pass for timing, within ``evaluating(model)`` and ``settled()``.

    Synchronises on a GPU: otherwise only the kernel launches would be timed.
    """
    device = device_of(model)
    image = example.to(device)
    if device.type != "cuda":
        return lambda: model(image)

    def call() -> None:
        model(image)
        torch.cuda.synchronize(device)

    return call


def _rounds(calls: list[Call], rounds: int, budget_s: float) -> list[list[float]]:
    """Milliseconds[call][round]."""
    start = perf_counter()
    while True:
        for call in calls:
            call()
        if perf_counter() - start > budget_s / 5:
            break
    times: list[list[float]] = [[] for _ in calls]
    for done in range(max(rounds, LEAST_ROUNDS)):
        if done >= LEAST_ROUNDS and perf_counter() - start > budget_s:
            break
        for call, own in zip(calls, times, strict=True):
            began = perf_counter_ns()
            call()
            own.append((perf_counter_ns() - began) / 1e6)
    return times


def _summary(times: list[float]) -> dict[str, float]:
    first, median, third = statistics.quantiles(times, n=4, method="inclusive")
    return {"median": median, "iqr": third - first, "min": min(times), "n": len(times)}


def _named(
    times: dict[str, float], batch: int, runtime: str, threads: int
) -> dict[str, float | int | str]:
    return {
        f"ms_b{batch}": times["median"],
        f"iqr_b{batch}": times["iqr"],
        "runtime": runtime,
        "threads": threads,
    }
