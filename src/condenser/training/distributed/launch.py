"""Spawn the processes of a run on this machine, unless torchrun or SLURM did."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from condenser.errors import CondenserError, ConfigError
from condenser.runs import interrupts
from condenser.runs.ranks import FOREIGN
from condenser.training.distributed.process_group import environment

Work = Callable[[Any, str | None], Any]  # of a plan, and the command that made it
GRACE = 8.0  # seconds before processes are killed


def devices(trainer: Mapping[str, Any]) -> int:
    """Processes per machine: one per device of ``trainer.devices``.

    Raises:
        ConfigError: there are not enough GPUs.
    """
    import torch

    asked = trainer["devices"]
    if not on_gpus(trainer):
        return 1 if asked == "auto" else int(asked)
    there = torch.cuda.device_count()
    if asked != "auto" and asked > there:
        allowed = f"at most {there}, the GPUs of this machine, or auto"
        raise ConfigError("trainer.devices", asked, allowed)
    return there if asked == "auto" else int(asked)


def on_gpus(trainer: Mapping[str, Any]) -> bool:
    import torch

    return trainer["accelerator"] not in ("cpu", "mps") and torch.cuda.is_available()


def needed(trainer: Mapping[str, Any]) -> int:
    """How many processes to spawn here: 1 if this one is enough or was itself launched."""
    if trainer["devices"] == 1 or environment() is not None:
        return 1
    if trainer["num_nodes"] > 1:
        return 1  # the process group's check says how to start them
    return devices(trainer)


def launch(work: Work, count: int, plan: Any, command: str | None) -> Any:
    """Run ``work(plan, command)`` in ``count`` processes that rendezvous as torchrun's do.

    Returns rank 0's JSON-serialisable result. A process that fails ends all.

    Raises:
        CondenserError: raised in a process, or a process died.
    """
    from torch.multiprocessing import (
        ProcessExitedException,
        ProcessRaisedException,
        start_processes,
    )

    sys.stdout.flush()
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # whom it ends
    with TemporaryDirectory() as folder:
        end = Path(folder) / "end"
        job = (work, plan, command, count, free_port(), end)
        try:
            started = start_processes(rank, job, count, join=False, start_method="spawn")
            assert started is not None
            with ended_together(started.processes):
                while not started.join():
                    pass
        except ProcessExitedException as error:
            if not end.is_file():
                how = error.signal_name or f"exit code {error.exit_code}"
                message = f"process {error.error_index} of {count} died ({how})"
                raise CondenserError(message) from None
        except ProcessRaisedException:  # maybe since another ended
            if not end.is_file():
                raise
        said = json.loads(end.read_text(encoding="utf-8"))
    if said["error"] is not None:
        raise CondenserError(said["error"])
    return said["value"]


@contextmanager
def ended_together(processes: Sequence[Any]) -> Iterator[None]:
    """Terminate the child processes together with this one: SIGTERM, then SIGKILL."""
    try:
        yield
    except interrupts.Interrupted:
        for process in processes:
            process.terminate()
        limit = time.monotonic() + GRACE
        for process in processes:
            process.join(max(0.0, limit - time.monotonic()))
        raise
    finally:
        for process in processes:
            process.kill()


def rank(
    number: int,
    work: Work,
    plan: Any,
    command: str | None,
    count: int,
    port: int,
    end: Path,
) -> None:
    """Entry point of one process."""
    import torch

    for name in list(os.environ):
        if FOREIGN.fullmatch(name):
            del os.environ[name]
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    own: dict[str, object] = {"RANK": number, "LOCAL_RANK": number, "GROUP_RANK": 0}
    own |= {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    own |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "condenser"}
    os.environ.update({name: str(value) for name, value in own.items()})
    try:
        with interrupts.in_order("condenser", speaks=lambda: False):  # who started it does
            value = work(plan, command)
    except CondenserError as error:
        keep(end, error=str(error))
        sys.stdout.flush()
        os._exit(1)  # the others wait for this one: do not wait for them
    except interrupts.Interrupted as error:
        os._exit(error.status)
    if number == 0:
        keep(end, value)


def keep(end: Path, value: Any = None, error: str | None = None) -> None:
    """Keep the first result written: later errors are consequences of the first."""
    draft = end.with_name(f"{end.name}.{os.getpid()}")
    draft.write_text(json.dumps({"value": value, "error": error}), "utf-8")
    with suppress(FileExistsError):
        os.link(draft, end)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
