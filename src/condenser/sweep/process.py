"""One job as a process group of its own."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig

from condenser.runs.ranks import FOREIGN
from condenser.sweep.jobs import Job

SOURCE = Path(__file__).resolve().parents[2]  # where jobs find this package
PYTHON = (sys.executable, "-P", "-m", "condenser", "train")  # -P: not the folder it is in


def command(job: Job, config: DictConfig) -> list[str]:
    """The command that runs one job."""
    beside = [
        word
        for word in config.hydra.overrides.hydra
        if not word.lstrip("+~").startswith(
            ("hydra.mode", "hydra.sweep", "hydra.launcher", "hydra/sweeper", "hydra/launcher")
        )
    ]
    flags = ["--config-name", str(config.hydra.job.config_name)]
    for source in config.hydra.runtime.config_sources:
        if source.provider == "command-line":
            flags += ["--config-dir", source.path]
    return [*PYTHON, *flags, *job.overrides, *beside, "hydra.mode=RUN"]


def environment(gpus: Sequence[str] | None, threads: int | None) -> dict[str, str]:
    """The environment of a job.

    Args:
        gpus: its visible GPUs; None: unchanged.
        threads: of the CPU, unless OMP_NUM_THREADS is set already.
    """
    own = {name: value for name, value in os.environ.items() if not FOREIGN.fullmatch(name)}
    own["PYTHONUNBUFFERED"] = (
        "1"  # flush output, so that a killed process's last lines are not lost
    )
    paths = (str(SOURCE), os.environ.get("PYTHONPATH"))
    own["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    if gpus is not None:
        own["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    if threads is not None:
        own.setdefault("OMP_NUM_THREADS", str(threads))
    return own


class Process:
    """A command in a session of its own, with output appended to ``log``."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log, self.begun = log, time.monotonic()
        with log.open("ab") as out:
            self.start = out.tell()
            self.popen = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def poll(self) -> int | None:
        """The exit code once it has ended; its child processes are killed with it."""
        code = self.popen.poll()
        if code is not None:
            self.send(signal.SIGKILL)
        return code

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, number)

    def last_words(self, count: int) -> list[str]:
        """The last lines of its output."""
        return last_lines(self.log, count, self.start)


def stop(processes: Sequence[Process], grace: float) -> None:
    """Stop them and their children: SIGTERM, then SIGKILL after ``grace`` seconds."""
    for process in processes:
        process.send(signal.SIGTERM)
    limit = time.monotonic() + grace
    try:
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.popen.wait(max(0.0, limit - time.monotonic()))
    finally:  # also if the user interrupts again
        for process in processes:
            process.send(signal.SIGKILL)
            process.popen.wait()


def last_lines(file: Path, count: int, start: int = 0) -> list[str]:
    """The last non-empty lines of a file from byte ``start`` on."""
    try:
        with file.open("rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(start, end - 20_000))
            text = stream.read().decode(errors="replace")
    except OSError:
        return []
    return list(deque((line for line in re.split(r"[\r\n]+", text) if line.strip()), count))


def die_with_parent() -> Callable[[], None] | None:
    """Called in the child before exec: make it die with its parent."""
    if sys.platform != "linux":
        return None
    libc, ask_signal = ctypes.CDLL(None), 1  # PR_SET_PDEATHSIG
    return lambda: libc.prctl(ask_signal, signal.SIGKILL) and None
