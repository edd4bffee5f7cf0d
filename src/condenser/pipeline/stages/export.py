"""export: the file to deploy, measured where it will run."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.errors import ConfigError
from condenser.pipeline.stages.base import RunContext, Stage, StageInputs, StageResult
from condenser.pipeline.stages.compression import Quantize
from condenser.store import StageDir

if TYPE_CHECKING:
    from torch import Tensor

    from condenser.checkpoint.model_spec import ModelSpec
    from condenser.compress import Quantized
    from condenser.deploy import Form

FLOAT, DENSE, FILE = "float32", "dense", "model"
BUNDLE = "bundle"  # what its folder in the run's is called
NOTES = 1  # of what the file says of itself
# What a target needs beside requirements.txt: module → what to install (requirements-extras.txt).
EXTRAS = {
    "openvino": {"openvino": "openvino==2026.4.1"},
    "executorch": {"executorch": "executorch==1.5.1", "torchao": "torchao==0.18.0"},
}


def bundle_name(position: Any, model: str, last: bool) -> str:
    """``bundle`` for a recipe's last export; earlier ones have their place and network in it."""
    return BUNDLE if last else f"{BUNDLE}-{position}-{model}"


class Export(Stage):
    """Writes the model of the stage before for a runtime: in float32, or in integers where it was
    quantised.

    Quality, latency and memory are those of the file in that runtime. ``speedup`` is over the same
    network in float32 there, ``speedup_dense`` over the one that its line began with, for a batch
    and one image.
    """

    word: ClassVar[str] = "export"
    color: ClassVar[str] = "#56b4e9"
    marker: ClassVar[str] = "*"
    kind: ClassVar[str] = "exports"
    takes_model: ClassVar[bool] = True

    def accept(self) -> None:
        """The runtime is there, and can hold what the stages before make."""
        target, own = self.settings["target"], self.settings
        missing = [pin for name, pin in EXTRAS.get(target, {}).items() if find_spec(name) is None]
        if missing:
            hint = f"for {target}: pip install {' '.join(missing)}"
            raise ConfigError("export.target", target, "onnx with what is installed", hint)
        quantizes = [stage for stage in self.chain if isinstance(stage, Quantize)]
        if own["dynamic"] and quantizes:
            raise ConfigError("export.dynamic", True, "false where the recipe has quantize before")
        if target == "executorch" and own["dynamic"]:
            raise ConfigError("export.dynamic", True, "false with export.target=executorch")
        if target == "executorch" and own["output"] != "float32":
            allowed = "float32 with export.target=executorch"
            raise ConfigError("export.output", own["output"], allowed)
        for stage in quantizes:
            bits = stage.settings.get("activation_bits")
            if bits != 8 and (bits is not None or target == "executorch"):
                either = "8" if target == "executorch" else "8 or null"
                allowed = f"{either} where the recipe goes on with export to {target}"
                raise ConfigError("quantize.activation_bits", bits, allowed)
            if stage.settings.get("affine") and bits is not None:
                allowed = "false where activations are integers and the recipe goes on with export"
                raise ConfigError("quantize.affine", True, allowed)

    def ingredients(self) -> dict[str, Any]:
        packages = ["onnx", "onnxscript", "onnxruntime", *EXTRAS.get(self.settings["target"], {})]
        versions = {name: metadata.version(name) for name in packages}
        return {**self.settings, "notes": NOTES, "versions": versions}

    def check(self, ctx: RunContext) -> None:
        """Networks from outside are tried whole, see tryout.

        Raises:
            ConfigError: uint8 is asked for as input, and the data are others; or of what are no
                images channels last, or of token ids, whose length varies, a program of fixed size.
        """
        import torch

        own, data = self.settings, ctx.data
        if own["input"] == "uint8" and data.raw != torch.uint8:
            raise ConfigError("export.input", "uint8", "float32 for data that are no pixels")
        if own["layout"] == "NHWC" and len(data.input_shape) != 3:
            raise ConfigError("export.layout", "NHWC", "NCHW for data that are no images")
        if own["target"] == "executorch" and data.vocabulary is not None:
            raise ConfigError("export.target", "executorch", "onnx or openvino for token ids")

    def run(self, ctx: RunContext, inputs: StageInputs, place: StageDir) -> StageResult:
        from condenser import deploy, measure

        assert inputs.source is not None
        spec, model = inputs.source.load(ctx.trusted)
        operation = self.operation(spec)
        images = ctx.data.calibration(operation.images if operation else 2)
        form = self.form(ctx)
        notes = deploy.notes(deploy.described(ctx.data, form, operation))
        file = deploy.write(model, form, images, place.folder / FILE, operation, notes)
        metrics: dict[str, Any] = {}
        if file.suffix == ".onnx":
            metrics["export/graph_bytes"] = deploy.graph_bytes(file)
        if form.dynamic:
            bits = dict.fromkeys(deploy.matrices(model), (8, 8))
            estimate = measure.energy(model, ctx.data.example(), bits)
            metrics |= {f"energy/{key}": value for key, value in estimate.items()}
        result = StageResult(spec, model, metrics, file=file, threads=self.settings["threads"])
        if not self.settings["measure"]:
            result.unmeasured = True
            return result
        plain = replace(form, dynamic=False, codes=False)
        float32 = file
        if operation is not None or form != plain:
            float32 = deploy.write(model, plain, images, place.folder / FLOAT)
        metrics |= {"export/fp32_file_bytes": deploy.size(float32)}
        metrics |= self.timed(ctx, inputs, plain, images, file, float32, place.folder / DENSE)
        if float32 != file:
            delete(float32)
        return result

    @staticmethod
    def operation(spec: ModelSpec) -> Quantized | None:
        """The one that quantised the network, if any did."""
        from condenser.compress import Quantized

        return next((op for op in reversed(spec.operations) if isinstance(op, Quantized)), None)

    def timed(
        self,
        ctx: RunContext,
        inputs: StageInputs,
        plain: Form,
        images: Tensor,
        file: Path,
        float32: Path,
        dense: Path,
    ) -> dict[str, float]:
        """Milliseconds of a batch, and how much faster than in float32 and than the dense one."""
        from condenser import deploy

        batch = min(self.settings["batch"], ctx.data.train_size)
        times = self.times(ctx, batch, float32, file)
        found = {"export/latency_ms": times["median"], "export/latency_iqr_ms": times["iqr"]}
        found["export/speedup"] = times["ratio"]
        if len(inputs.line) > 1:
            _, model = inputs.line[0].load(ctx.trusted)
            dense_file = deploy.write(model, plain, images, dense)
            for key, count in (("", batch), ("_b1", 1)):
                ratio = self.times(ctx, count, dense_file, file)["ratio"]
                found[f"export/speedup_dense{key}"] = ratio
            delete(dense_file)
        return found

    def form(self, ctx: RunContext) -> Form:
        """What the file is to be, as the settings say."""
        from condenser.deploy import Form

        own, data = self.settings, ctx.data
        pixels = (data.mean, data.std) if own["input"] == "uint8" else None
        nhwc = own["layout"] == "NHWC"
        return Form(own["target"], own["dynamic"], pixels, own["output"] == "uint8", nhwc)

    def times(self, ctx: RunContext, batch: int, before: Path, file: Path) -> dict[str, float]:
        """Milliseconds of a batch, and the ratio to a file that runs in turn with it."""
        from condenser import deploy, measure

        threads = self.settings["threads"]
        calls = {}
        for name, path in (("before", before), ("file", file)):
            session = deploy.session(path, threads)
            images = ctx.data.pixels(batch) if session.pixels else ctx.data.example(batch)
            calls[name] = session.call(images)
        with measure.settled(threads):
            return measure.interleaved(calls, rounds=30)["file"]


def is_export(entry: Any) -> bool:
    """Whether a recipe's entry says export."""
    return entry == "export" or (isinstance(entry, dict) and "export" in entry)


def delete(path: Path) -> None:
    """A file, and its weights beside it."""
    from condenser import deploy

    for file in deploy.files(path):
        file.unlink()
