"""End-of-sweep summary: failed jobs, reasons, and the command that reruns them."""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus

from condenser.config.error_messages import can_be_mended, explain
from condenser.runs.records import Record
from condenser.runs.started import command
from condenser.sweep.job_state import JobState
from condenser.sweep.jobs import SweepError


def again() -> str:
    """The command line of the sweep."""
    return shlex.join([*command("train"), *sys.argv[1:]])


def failures(attempts: Sequence[JobState]) -> str:
    """Each failed job: its name, the reason, its last lines, and its log file."""
    blocks = []
    for attempt in attempts:
        if attempt.state == "failed":
            tries = f" ({attempt.tries} tries)" if attempt.tries > 1 else ""
            head = f"{attempt.job.label}: {attempt.reason}{tries}"
            words = [f"    {line}" for line in attempt.words]
            blocks.append("\n".join([head, *words, f"    all of it: {attempt.log}"]))
    return "\n".join(blocks)


def failed(returns: Sequence[JobReturn]) -> SweepError:
    """The exception for a sweep with failures; prints reasons the launcher did not."""
    bad = [one for one in returns if one.status != JobStatus.COMPLETED]
    for one in bad:
        error = one._return_value
        if not isinstance(error, SweepError):
            print(f"{' '.join(one.overrides or [])}: {explain(error)}", file=sys.stderr)
            if not can_be_mended(error):
                traceback.print_exception(error)
    whole = f"{len(bad)} of {len(returns)} jobs failed; the same command runs just those:"
    return SweepError(f"{whole}\n  {again()}")


def returned(attempt: JobState) -> JobReturn:
    """The return value in the form hydra's sweepers expect."""
    value: Record | SweepError | None = attempt.record
    if not attempt.ended_well:
        value = SweepError(f"{attempt.job.label}: {attempt.reason}")
    return JobReturn(
        overrides=list(attempt.job.overrides),
        cfg=attempt.job.cfg,
        working_dir=str(attempt.job.folder),
        task_name=attempt.job.label,
        status=JobStatus.COMPLETED if attempt.ended_well else JobStatus.FAILED,
        _return_value=value,
    )
