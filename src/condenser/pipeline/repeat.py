"""The same command on a run that has ended: its records, read again without loading torch.

Taken where nothing can have changed: config, machine, every file that the config names, the user's
own source, and each model in the store, read whole. Else the run goes its way through the store.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from time import monotonic
from typing import Any

from condenser.files import read_bytes, write_whole
from condenser.outside.sources import sources
from condenser.pipeline import key as keys
from condenser.pipeline.console import Console
from condenser.pipeline.plan import Plan
from condenser.pipeline.stages.export import Export, bundle_name
from condenser.pipeline.tracked import about, config_text, open_tracker
from condenser.runs import ownership, records, saved, status
from condenser.runs.records import Record
from condenser.store import key_of
from condenser.store.entries import flaws
from condenser.store.storage import folder_of

INSTALLED = ("torch", "torchvision", "pytorch-lightning", "numpy", "onnxruntime")
# of the environment, what changes numbers and no library of ours sets for itself
TOLD = re.compile(r"(OMP|MKL|OPENBLAS|ATEN|DNNL|ONEDNN|NVIDIA|CUDA)_")


def again(plan: Plan, command: str | None, now: str) -> list[Record] | None:
    """The records of a run that ended as ``plan`` would, ``around`` as ``now``; None: it is to be
    run."""
    begun, found = monotonic(), unchanged(plan, now)
    if command is None or not found:
        return None
    say = Console(plan.folder)
    with ownership.owned(plan.folder, plan.mark):
        known = {**about(plan.config), "config": plan.mark, "command": command}
        done = [record.adding({**known, "cost/reused": True}) for record in found]
        write_whole(plan.folder / saved.FILE, config_text(plan, plan.config))
        records.write(plan.folder, done)
        tracker = open_tracker(plan, done[-1]["commit"])
        try:
            for record in done:
                tracker.record(record, folder_of(plan.config, record))
                say.finished(record, reused=True)
        finally:
            tracker.finish(done, 0)
        status.write(plan.folder, bundles=bundles(plan, done))
    for folder in shipped(plan, done):
        say.line(f"{'':<9} bundle: {folder}")
    say.done()
    if any(record["kind"] == Export.kind for record in done):
        say.ending(done, monotonic() - begun, shipped(plan, done)[-1])
    return done


def unchanged(plan: Plan, now: str) -> list[Record]:
    """The records of a run that has ended, where all is as it was then; else none."""
    config, stood = plan.config, status.read(plan.folder)
    embedded = config["data"]["root"] is None and config["data"]["name"] in ("digits", "synthetic")
    known = embedded or config["data"]["root"] is not None
    if plan.search or not known or sources(config["data"]) or stood.get("around") != now:
        return []
    if not status.done_before(plan.folder, plan.digest, plan.inputs):
        return []
    found = status.written(plan.folder)
    if ownership.marks(plan.folder) != {plan.mark} or stood.get("bundles") != bundles(plan, found):
        return []
    entries = [folder_of(config, record) for record in found]
    return found if all(entry.is_dir() and not flaws(entry) for entry in entries) else []


def facts(plan: Plan, begun: str) -> dict[str, Any]:
    """What a run that ends well says for ``unchanged``; ``begun``: ``around`` when it began."""
    return {"around": begun, "bundles": bundles(plan, status.written(plan.folder))}


def around(plan: Plan) -> str:
    """A hash of the machine and of every file that a setting names; where in doubt it changes."""
    gpus = sorted(path.name for path in Path("/dev").glob("nvidia*"))
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return key_of(
        {
            "versions": {name: metadata.version(name) for name in INSTALLED},
            "python": platform.python_version(),
            "machine": [platform.node(), platform.machine(), cores, gpus, processor()],
            "environment": {k: v for k, v in sorted(os.environ.items()) if TOLD.match(k)},
            "files": {name: state(Path(name)) for name in sorted({*named(plan.config)})},
        }
    )


def processor() -> str:
    """What Linux says of the first one, but for what changes with its clock."""
    try:
        lines = read_bytes(Path("/proc/cpuinfo"), 1 << 24).split(b"\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    return b"\n".join(line for line in lines if b"MHz" not in line).decode(errors="replace")


def named(node: Any, within: str = "") -> Iterator[str]:
    """Every text of the config that is a file or folder, places of results and data aside."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if within or key not in (*keys.PLACES, "run", "name", "claim"):
                where = f"{within}.{key}"
                yield from named(value, where) if where != ".data.root" else ()
    elif isinstance(node, list | tuple):
        for value in node:
            yield from named(value, within)
    elif isinstance(node, str) and is_path(node):
        yield node


def is_path(text: str) -> bool:
    short = "\0" not in text and len(text) < 4096
    return short and os.path.lexists(os.path.expanduser(text))


def state(path: Path) -> str:
    return keys.state_of.__wrapped__(str(path), ())


def bundles(plan: Plan, found: list[Record]) -> dict[str, str]:
    """The folders of its exports, as they are."""
    return {folder.name: state(folder) for folder in shipped(plan, found)}


def shipped(plan: Plan, found: list[Record]) -> list[Path]:
    """The bundles of a run with these records."""
    files = [record for record in found if record["kind"] == Export.kind]
    last = plan.words.count(Export.word)
    return [
        plan.folder / bundle_name(record["position"], str(record["model"]), number >= last)
        for number, record in enumerate(files, start=1)
    ]
