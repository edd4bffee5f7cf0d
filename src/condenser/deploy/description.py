"""What a deployed file takes and gives, as plain facts: model.json, and notes in the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import torch

from condenser.compress.quantization import Quantized
from condenser.deploy.graph import IDS, INPUT, OUTPUT
from condenser.deploy.runtimes import META
from condenser.tasks import PAD

if TYPE_CHECKING:
    from condenser.data import DataModule
    from condenser.deploy.write import Form

MEANING = {
    "multiclass": "logits; softmax gives each class's probability, the largest is the answer",
    "binary": "one logit; sigmoid gives the probability of yes, above 0 is yes",
    "tokens": "logits of every token at each place; softmax gives its probability there",
    "translation": "logits of the next token at each place of row 1; the source is row 0",
    "ranking": "a score for every item; the largest come first, those already seen left out",
    "multilabel": "a logit for each label; sigmoid gives its probability, above 0 is yes",
}
TOKENIZER = "tokenizer.json"
Facts = dict[str, Any]


def described(data: DataModule, form: Form, operation: Quantized | None) -> Facts:
    """What whoever feeds the file has to know: input, output, classes, quantisation."""
    return {
        "input": input_facts(data, form),
        "output": {
            "name": OUTPUT,
            "shape": output_shape(data, form),
            "dtype": "uint8" if form.codes else "float32",
            "task": data.task.word,
            "meaning": MEANING[data.task.word],
        },
        "classes": list(data.classes),
        "quantisation": quantisation(form, operation),
    }


def output_shape(data: DataModule, form: Form) -> list[int | None]:
    """(batch, outputs), and between them the places of a task that decides at each."""
    batch = None if form.target != "executorch" else 1
    places = [] if data.task.by_sample else [None]
    return [batch, *places, data.num_classes]


def input_facts(data: DataModule, form: Form) -> Facts:
    shape = list(data.input_shape)
    batch = None if form.target != "executorch" else 1
    if len(shape) != 3:
        return other_facts(data, shape, batch)
    sides = [*shape[1:], shape[0]] if form.nhwc else shape
    inside = form.normalisation is not None
    how = getattr(data.parts.train, "preparation", {})
    resize = how.get("resize")
    crop = {"shorter_side": resize, "interpolation": "bilinear, antialiased", "crop": shape[1]}
    mode = {1: "L", 3: "RGB"}.get(shape[0]) if data.raw == torch.uint8 else None
    return {
        "name": INPUT,
        "layout": "NHWC" if form.nhwc else "NCHW",
        "shape": [batch, *sides],
        "dtype": "uint8" if inside else "float32",
        "image": shape,
        "color": how.get("mode", mode if shape[1] > 1 else None),
        "resize": crop if resize else None,
        "unit": 255 if data.raw == torch.uint8 else 1,
        "normalisation": "inside"
        if inside
        else {"mean": list(map(float, data.mean)), "std": list(map(float, data.std))},
    }


def other_facts(data: DataModule, shape: list[int], batch: int | None) -> Facts:
    """Of inputs that are no images: token ids of any length up to ``longest``, or numbers."""
    if data.vocabulary is None:
        unit = {"mean": list(map(float, data.mean)), "std": list(map(float, data.std))}
        own = {"name": INPUT, "layout": "any", "shape": [batch, *shape], "dtype": "float32"}
        how = getattr(data.parts.train, "preparation", {})
        audio = {"rate": how["rate"], "channels": "their mean"} if "rate" in how else None
        more = {"audio": audio} if audio else {}
        return {**own, "image": shape, "unit": 1, "normalisation": unit, **more}
    return {
        "name": IDS,
        "layout": "ids",
        "shape": [batch, *shape[:-1], None if shape[-1] > 1 else 1],
        "dtype": "int64",
        "image": shape,
        "padding": PAD,
        "ids": data.vocabulary.size,
        "normalisation": None,
        **({"tokenizer": TOKENIZER} if data.vocabulary.tokenizer else {}),
    }


def quantisation(form: Form, operation: Quantized | None) -> Facts | None:
    """Bits of weights and activations; None: all in float32."""
    if operation is None:
        return {"weights": 8, "activations": "int8, ranges at run time"} if form.dynamic else None
    widths = {operation.bits_of(layer) for layer in operation.layers}
    weights, inputs = (sorted({w[place] or 32 for w in widths}) for place in (0, 1))
    return {"weights": weights, "activations": inputs, "layers": len(operation.layers)}


def notes(facts: Mapping[str, Any]) -> dict[str, str]:
    """The facts as strings for the file's own metadata, each as JSON."""
    found = dict(facts)
    if facts["input"]["dtype"] == "int64":
        found["shape"] = facts["input"]["image"]
    return {
        f"{META}_{key}": json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        for key, value in found.items()
    }


def annotate(path: Path, found: Mapping[str, str]) -> None:
    """Add notes to an ONNX file's metadata."""
    model = onnx.load(path)
    for key, value in found.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, path)


def opset(path: Path) -> int | None:
    """Of an ONNX file; None for other formats."""
    if path.suffix != ".onnx":
        return None

    graph = onnx.load(path, load_external_data=False)
    return next(o.version for o in graph.opset_import if o.domain in ("", "ai.onnx"))
