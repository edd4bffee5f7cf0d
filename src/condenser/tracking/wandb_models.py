"""The models of a run as W&B artifacts, and which was made of which."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condenser.tracking.background_worker import BackgroundWorker
from condenser.tracking.base import NAME_LENGTH, Record

if TYPE_CHECKING:
    from wandb import Artifact, Run

TYPE = "model"
KEPT = ("auto", "none", "metadata")
FILES = ("model.json", "weights.safetensors", "*.onnx")  # what would be deployed
RECORD = ("stage", "model", "data", "seed", "key", "group", "parent", "teacher", "commit")
NUMBERS = ("val/accuracy", "test/accuracy", "size/params", "size/file_bytes", "size/packed_bytes")


class Models:
    """Sends each stage's model beside the training.

    An artifact is called ``MODEL-STAGE``, as ``lenet5-teacher``, and its version has the key of
    the stage as alias, so that runs that share a teacher share its artifact. Online, a run says
    that it uses the models it took from the store, and those that a parent or a teacher was; the
    same stands in the metadata (``parent``, ``teacher``), which is all there is of it offline.

    Args:
        keep: ``none``; ``metadata``, without the weights; ``auto``: whole where the run is online
            and the files have at most ``largest`` bytes.
    """

    def __init__(self, keep: str, largest: float) -> None:
        self._keep, self._largest = keep, largest
        self._courier = BackgroundWorker()
        self._sent: dict[str, Artifact] = {}

    def send(self, run: Run, record: Record, folder: Path | None) -> None:
        """Begin to log the model of a stage that has ended."""
        if self._keep == "none":
            return
        if run.offline or not record.get("cost/reused"):
            self._courier.send(lambda: self._log(run, record, folder))
        else:
            self._courier.send(lambda: self._use_stored(run, record, folder))

    def link(self, run: Run, records: Sequence[Record]) -> None:
        """Say which models others were made of, once these have arrived."""
        if self._keep != "none" and not run.offline:
            self._courier.send(lambda: self._use(run, records))

    def wait(self, seconds: float) -> None:
        """TimeoutError where it takes longer; what went wrong, if it did."""
        self._courier.wait(seconds)

    def _log(self, run: Run, record: Record, folder: Path | None) -> None:
        whole = self._keep == "auto" and not run.offline
        files = list(deployed(folder)) if whole and folder is not None else []
        if sum(file.stat().st_size for file in files) > self._largest:
            files = []
        made = artifact(record, files)
        self._sent[str(record["key"])] = run.log_artifact(made, aliases=[str(record["key"])])

    def _use_stored(self, run: Run, record: Record, folder: Path | None) -> None:
        """A model from the store is one that the run was given, if the project has it."""
        import wandb

        try:
            run.use_artifact(f"{name_of(record)}:{record['key']}", type=TYPE)
        except (ValueError, wandb.Error):  # it was made offline, or for another project
            self._log(run, record, folder)

    def _use(self, run: Run, records: Sequence[Record]) -> None:
        for key in dict.fromkeys(key for record in records for key in sources(record)):
            if key in self._sent:
                run.use_artifact(self._sent[key].wait())


def sources(record: Record) -> Iterator[str]:
    """The keys of the models that this one was made of."""
    for role in ("parent", "teacher"):
        yield from filter(None, str(record.get(role) or "").split("+"))


def name_of(record: Record) -> str:
    """``lenet5_tenth-prune``, in the letters that W&B takes."""
    name = f"{record['model']}-{record['stage']}"
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:NAME_LENGTH]


def deployed(folder: Path) -> Iterator[Path]:
    """The files of a stored model that make it, in order."""
    for pattern in FILES:
        yield from sorted(folder.glob(pattern))


def artifact(record: Record, files: Sequence[Path]) -> Artifact:
    """The model's files and facts; without files its facts are the only file.

    Nothing in it is of the run that logs it: two runs with the same model log the same artifact.
    """
    import wandb

    metrics = {key: record[key] for key in (*RECORD, *NUMBERS) if record.get(key) is not None}
    made = wandb.Artifact(name_of(record), type=TYPE, metadata=dict(metrics))
    for file in files:
        made.add_file(str(file), name=file.name, policy="immutable", skip_cache=True)
    if not files:
        with made.new_file("facts.json") as text:
            text.write(as_text(metrics))
    return made


def as_text(metrics: Mapping[str, Any]) -> str:
    return json.dumps(metrics, indent=1, sort_keys=True) + "\n"
