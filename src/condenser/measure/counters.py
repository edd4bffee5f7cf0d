"""Energy from the processor's RAPL counters, where readable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

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
    before = [microjoules(package) for package in packages]
    begun, calls = perf_counter(), 0
    while perf_counter() - begun < budget_s:
        call()
        calls += 1
    spent = sum(
        passed(was, microjoules(package), package)
        for was, package in zip(before, packages, strict=True)
    )
    return spent / calls / 1e6


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
