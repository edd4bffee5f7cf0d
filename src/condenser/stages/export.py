"""export: the file to deploy, measured where it will run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.errors import ConfigError
from condenser.stages.base import Given, Outcome, Stage, Workbench

if TYPE_CHECKING:
    from condenser.store import Place

FLOAT, DENSE, FILE = "float32.onnx", "dense.onnx", "model.onnx"


class Export(Stage):
    """Writes the model of the stage before as ONNX: float32, or Q/DQ where it was quantised.

    Quality and latency are those of the file in onnxruntime. ``speedup`` is over the same network
    in float32, ``speedup_dense`` over the one that its line began with, for a batch and one image.
    """

    word: ClassVar[str] = "export"
    takes_model: ClassVar[bool] = True

    def accept(self) -> None:
        """Q/DQ graphs hold activations of 8 bits."""
        for stage in self.chain:
            bits = stage.settings.get("activation_bits")
            if stage.word == "quantize" and bits not in (None, 8):
                allowed = "8 or null where the recipe goes on with export"
                raise ConfigError("quantize.activation_bits", bits, allowed)

    def ingredients(self) -> dict[str, Any]:
        return dict(self.settings)

    def check(self, bench: Workbench) -> None:
        """Nothing to build; what the model was quantised to shows when it is there."""

    def run(self, bench: Workbench, given: Given, place: Place) -> Outcome:
        from condenser import deploy
        from condenser.compress import Quantized

        assert given.source is not None
        blueprint, model = given.source.load(bench.trusted)
        quantized = [op for op in blueprint.operations if isinstance(op, Quantized)]
        float_file, file = place.folder / FLOAT, place.folder / FILE
        deploy.to_onnx(model, bench.data.example(2), float_file)
        if not quantized:
            float_file.rename(file)
        else:
            images = bench.data.calibration(quantized[-1].images)
            deploy.to_quantized_onnx(model, quantized[-1], images, float_file, file)
        float32 = float_file if quantized else file
        facts: dict[str, Any] = {
            "export/fp32_file_bytes": float32.stat().st_size,
            "export/graph_bytes": deploy.graph_bytes(file),
        }
        batch = min(self.settings["batch"], bench.data.train_size)
        times = self.times(bench, batch, float32, file)
        facts |= {"export/latency_ms": times["median"], "export/speedup": times["ratio"]}
        if len(given.line) > 1:
            _, dense = given.line[0].load(bench.trusted)
            dense_file = place.folder / DENSE
            deploy.to_onnx(dense, bench.data.example(2), dense_file)
            for key, count in (("", batch), ("_b1", 1)):
                ratio = self.times(bench, count, dense_file, file)["ratio"]
                facts[f"export/speedup_dense{key}"] = ratio
            dense_file.unlink()
        float_file.unlink(missing_ok=True)
        return Outcome(blueprint, model, facts, file=file)

    def times(self, bench: Workbench, batch: int, before: Path, file: Path) -> dict[str, float]:
        """Milliseconds of a batch, and the ratio to a file that runs in turn with it."""
        from condenser import measure

        images, threads = bench.data.example(batch), self.settings["threads"]
        with measure.settled(threads):
            files = {"before": before, "file": file}
            calls = {name: measure.onnx_call(f, images, threads) for name, f in files.items()}
            return measure.interleaved(calls, rounds=30)["file"]
