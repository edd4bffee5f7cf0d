"""Energy from the processor's RAPL counters, where readable."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep

POWERCAP = Path("/sys/class/powercap")
BUDGET_S = 0.5


def joules(
    call: Callable[[], object], *, budget_s: float = BUDGET_S, root: Path = POWERCAP
) -> float | None:
    """Joules per ``call``: consumption of all packages while it was repeated, by RAPL.

    None without a readable counter. Includes idle power and other load on the machine.

    Source: https://www.kernel.org/doc/html/latest/power/powercap/powercap.html
    """
    packages = domains(root)
    if not packages:
        return None
    call()
    calls = 0

    def work() -> None:
        nonlocal calls
        begun = perf_counter()
        while perf_counter() - begun < budget_s:
            call()
            calls += 1

    return consumed(packages, work)[0] / calls


def above_idle(
    call: Callable[[], object], *, repeats: int = 5, seconds: float = 1, root: Path = POWERCAP
) -> dict[str, float] | None:
    """{j_per_1000, j_per_1000_iqr, idle_w}: joules of 1,000 calls beyond what the processor takes
    asleep, the median of ``repeats`` times ``seconds``; its interquartile range; the watts asleep.

    None without a readable counter. Other load on the machine counts as the calls', or as sleep.

    Args:
        repeats: 2 or more.
    """
    packages = domains(root)
    if not packages:
        return None
    call()
    joules_asleep, took = consumed(packages, lambda: sleep(seconds))
    watts = joules_asleep / took
    found = [busy(packages, call, seconds, watts) for _ in range(repeats)]
    first, median, third = statistics.quantiles(found, n=4, method="inclusive")
    return {"j_per_1000": median, "j_per_1000_iqr": third - first, "idle_w": watts}


def busy(packages: list[Path], call: Callable[[], object], seconds: float, watts: float) -> float:
    """Joules of 1,000 calls above ``watts``."""
    calls = 0

    def work() -> None:
        nonlocal calls
        begun = perf_counter()
        while not calls or perf_counter() - begun < seconds:
            call()
            calls += 1

    spent, took = consumed(packages, work)
    return 1000 * (spent - watts * took) / calls


def consumed(packages: list[Path], work: Callable[[], object]) -> tuple[float, float]:
    """Joules of all packages while ``work`` went on, and its seconds."""
    before, begun = [microjoules(package) for package in packages], perf_counter()
    work()
    took = perf_counter() - begun
    pairs = zip(before, packages, strict=True)
    return sum(passed(was, microjoules(package), package) for was, package in pairs) / 1e6, took


def domains(root: Path = POWERCAP) -> list[Path]:
    """The processor packages with readable counters; they include their sub-domains."""
    found = []
    for folder in sorted(root.glob("intel-rapl:*")) if root.is_dir() else []:
        if folder.name.count(":") == 1:
            try:
                microjoules(folder)
            except (OSError, ValueError):
                continue
            found.append(folder)
    return found


def microjoules(package: Path) -> int:
    return int((package / "energy_uj").read_text(encoding="utf-8"))


def passed(before: int, after: int, package: Path) -> int:
    """Difference of two counter readings, with wrap-around."""
    if after >= before:
        return after - before
    return after - before + int((package / "max_energy_range_uj").read_text(encoding="utf-8"))
