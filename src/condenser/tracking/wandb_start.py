"""How a W&B run begins and ends: every wait has an end, and offline is the way out."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from condenser.tracking.base import Identity
from condenser.tracking.timeout import within
from condenser.tracking.wandb_history import parts, run_id_of

if TYPE_CHECKING:
    from wandb import Run

log = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds that W&B's background process has to end
DELETED = "previously created and deleted"  # what the server says of an id that it takes no more
_open: set[str] = set()  # ids of the runs of this process: a population has several
OLD_MODES = {"dryrun": "offline", "run": "online"}  # W&B still takes these from the environment


def open_run(mode: str | None, timeouts: tuple[float, float], **settings: Any) -> Run | None:
    """Begins a W&B run that no other code logs into, or none where the mode is ``disabled``.

    ``timeouts`` are seconds to start and to finish, ``settings`` are arguments of wandb.init. The
    run of this ``id`` goes on where W&B has it.
    """
    if mode == "disabled":
        return None
    import wandb

    try:
        with no_analytics():
            wandb.setup(wandb.Settings(silent=True))
            mode = OLD_MODES.get(mode, mode) if mode else find_mode()
            return None if mode == "disabled" else begin_run(mode, timeouts, settings)
    except BaseException:
        stop_service()
        raise


def begin_run(mode: str, timeouts: tuple[float, float], settings: dict[str, Any]) -> Run:
    """Begins a run; where online does not work, it warns and begins an offline run instead.

    A run that was deleted on the server is begun anew, under another id.
    """
    import wandb

    folder: Path = settings["dir"]
    folder.mkdir(parents=True, exist_ok=True)
    earlier, server = parts(folder), wandb.setup().settings.base_url
    begin: Any = partial(
        wandb.init,
        resume="allow",
        reinit="create_new",
        settings=run_settings(*timeouts),
        **settings,
    )
    try:
        run = begin(mode=mode)
    except Exception as error:
        if mode == "offline":
            raise
        stop_service()  # it still tries, and holds the id
        for empty in set(parts(folder)).difference(earlier):
            shutil.rmtree(empty, ignore_errors=True)
        if DELETED in str(error):
            return begin_run(mode, timeouts, {**settings, "id": uuid4().hex[:16]})
        run = begin(mode="offline")
        said = f"{server}: {brief(error)}"
        log.warning("W&B is offline for this run; `wandb sync` can send it later: %s", said)
    _open.add(run.id)
    log.info("W&B run: %s", run.settings.sync_dir if run.offline else run.url)
    return run


def run_id(identity: Identity, folder: Path, earlier: Sequence[Path]) -> str:
    """The id of a run: the same however often it is killed, resumed, or run again from the store.

    A folder that holds parts of a run goes on with that one, wherever it has been moved to.
    Otherwise it is the hash of experiment, run, config, and of the machine and the folder: what
    several machines run alike is a run each, and what a folder's results were before its config
    changed is another. ``$WANDB_RUN_ID`` goes before all.
    """
    if given := os.environ.get("WANDB_RUN_ID"):
        return given
    if earlier:
        return run_id_of(earlier[-1])
    where = (socket.gethostname(), str(folder.resolve()))
    told = json.dumps([identity.group, identity.name, identity.config, *where])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


@contextmanager
def no_analytics() -> Iterator[None]:
    """Starts W&B without its usage reports, which even an offline run sends as it exits.

    Where packets are dropped, as on many clusters, that delays the exit by 10 s. A person's own
    ``$WANDB_ERROR_REPORTING`` stands.
    """
    name = "WANDB_ERROR_REPORTING"
    theirs = name in os.environ
    os.environ.setdefault(name, "false")
    try:
        yield
    finally:
        if not theirs:
            del os.environ[name]


def run_settings(init_timeout: float, finish_timeout: float) -> Any:
    """W&B without output, code or git state, and with an end to every wait."""
    import wandb

    return wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        init_timeout=init_timeout,
        finish_timeout=finish_timeout,
        finish_timeout_raises=True,
        x_transaction_log_flush_interval=1,  # a killed run loses a second of curves, not fifteen
    )


def find_mode() -> str:
    """The mode in W&B's own settings files, else online with an API key and offline without."""
    import wandb

    mode: str = wandb.setup().settings.mode
    if mode != "online":
        return mode
    with suppress(wandb.Error):  # a key of the wrong form: starting online says what is wrong
        mode = "online" if wandb.login(prompt=False, verify=False) else "offline"
    return mode


def facts_of(identity: Identity) -> dict[str, str]:
    """What the W&B config holds beside the run's own: commit and key hash."""
    facts = {"commit": identity.commit, "key": identity.key}
    return {name: value for name, value in facts.items() if value is not None}


def close_run(run: Run, exit_code: int) -> None:
    """Finishes the run and leaves nothing of it to the next."""
    _open.discard(run.id)
    try:
        run.finish(exit_code=exit_code)
    finally:
        stop_service()


def brief(error: Exception) -> str:
    """Kind and first line of an error."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def stop_service() -> None:
    """Ends W&B's background process, unless somebody's own run, or another of ours, needs it.

    Without that, settings, credentials and ``$WANDB_SERVICE`` live on into the next run, and a
    background process that broke in one run breaks all later ones. One that still waits for a
    server after ``PATIENCE`` seconds is killed: it would wait for minutes, and W&B for it. What it
    was given is in the run's file.
    """
    import wandb

    if wandb.run is not None or _open:
        return
    process = service()
    try:
        with suppress(SystemExit):  # which carries the background process's exit code
            within(PATIENCE, wandb.teardown)
    except TimeoutError:
        if process is not None:
            process.kill()


def service() -> subprocess.Popen[bytes] | None:
    """W&B's background process, if this process has started one. Read off wandb 0.31."""
    from wandb.sdk import wandb_setup

    found: Any = wandb_setup._singleton
    for name in ("_connection", "_proc", "_process"):
        found = getattr(found, name, None)
    return found
