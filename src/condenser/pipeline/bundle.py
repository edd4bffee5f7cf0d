"""The bundle of an export stage's result: facts of the data, of the record and of the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from condenser import deploy
from condenser.data import Files, Normalise
from condenser.data.lengths import cut
from condenser.data.split import take
from condenser.data.tokenizing import Tokenizer
from condenser.deploy import Sample, Session
from condenser.pipeline.execute import Made
from condenser.pipeline.stages import RunContext
from condenser.pipeline.stages.export import FILE, Export
from condenser.runs.records import Record

SAMPLES = 3
TOLD = ("test/accuracy", "val/accuracy", "test/top5", "export/agreement", "latency/ms_b1")
FROM = ("run", "experiment", "stage", "model", "seed", "key", "parent", "commit", "hardware")


def write(made: Made, record: Record, ctx: RunContext, folder: Path) -> Path:
    """Write the bundle of what an export stage made; returns the deployed file in it."""
    stage = made.stage
    assert isinstance(stage, Export)
    file = made.entry.file(f"{FILE}{deploy.SUFFIX[stage.settings['target']]}")
    session = deploy.session(file, stage.settings["threads"])
    spec, _ = made.entry.load(ctx.trusted)
    facts = deploy.described(ctx.data, stage.form(ctx), stage.operation(spec))
    if session.running.grid is not None:
        facts["output"] |= dict(zip(("scale", "zero_point"), session.running.grid, strict=True))
    known = facts | told(record, ctx, session.runtime)
    texts = tokenizer(ctx)
    own = texts.json if texts is not None else None
    return deploy.write_bundle(folder, file, known, samples(ctx, session, texts), own)


def tokenizer(ctx: RunContext) -> Tokenizer | None:
    """What makes token ids of a text, where the data are texts."""
    known = ctx.data.vocabulary.tokenizer if ctx.data.vocabulary is not None else None
    return Tokenizer(known) if known is not None else None


def told(record: Record, ctx: RunContext, runtime: str) -> dict[str, Any]:
    """What was measured of the file, and where it comes from."""
    accuracy = record["test/accuracy"]
    good = (
        "not measured"
        if accuracy is None
        else f"{accuracy:.2%} of {tests(ctx):,} test {samples_are(ctx)}"
    )
    size = f"{record['size/file_bytes']:,} bytes"
    return {
        "title": f"{record['model']} for {record['data']}",
        "summary": f"{size} for {runtime}; accuracy measured on this file: {good}.",
        "measured": {key: record.get(key) for key in TOLD}
        | {"test_images": tests(ctx), "runtime": runtime},
        "provenance": {key: record[key] for key in FROM}
        | {
            "date": record["date"],
            "versions": record["versions"],
            "data": record["data"],
            "data_sha256": ctx.data.fingerprint,
            "code": record["code"],
            "command": record["command"],
        },
    }


def samples_are(ctx: RunContext) -> str:
    return "images" if len(ctx.data.input_shape) == 3 else "samples"


def tests(ctx: RunContext) -> int:
    return len(ctx.data.parts.test.targets)


def samples(ctx: RunContext, session: Session, texts: Tokenizer | None = None) -> list[Sample]:
    """Test images of several classes, and what the file answers."""
    part, data = ctx.data.parts.test, ctx.data
    found = []
    for place in take(part.targets, min(SAMPLES, tests(ctx)), 0):
        image = part.read(place.view(1)).cpu()
        shown = image if session.pixels else Normalise(data.mean, data.std)(image)
        logits = session(shown)
        if isinstance(part, Files):
            path = part.root / part.paths[int(place)]
            suffix, content = path.suffix.lower(), path.read_bytes()
        else:
            image = cut(image, part.targets[place].view(1, -1))[0]
            text = texts and in_text(texts, image[0])
            suffix, content = text or deploy.sample_of(image[0].numpy())
        decided = data.task.decide(logits)[0] if data.task.by_sample else logits[0].argmax(1)
        answer = in_words(decided, data.classes, data.task.by_sample)
        found.append(deploy.Sample(suffix, content, logits[0].tolist(), answer))
    return found


def in_text(texts: Tokenizer, ids: Tensor) -> tuple[str, bytes] | None:
    """Suffix and content of a file with the text; None where it has other ids, of unknown words."""
    if ids.ndim != 1:
        return None
    text = texts.text(ids.tolist())
    same = texts.ids([text]) == [ids.tolist()] and text.splitlines() == [text]
    return (".txt", f"{text}\n".encode()) if same else None


def in_words(decided: Tensor, classes: Sequence[str], by_sample: bool = True) -> str:
    """The class, or the labels that hold; of tokens that at each place."""
    if not by_sample:
        return " ".join(classes[n] for n in decided.tolist())
    if decided.ndim == 0:
        return classes[int(decided)]
    return ", ".join(n for n, yes in zip(classes, decided.tolist(), strict=True) if yes) or "–"
