"""Compressions one after the other: every step is kept on disk bit for bit, without pickles."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from running import config_of, run_in
from safetensors.torch import load_file

from condenser.checkpoint.model_spec import load
from condenser.config.instantiate import build
from condenser.measure import predict
from condenser.pipeline.metrics.quality import LOGITS
from condenser.runs.records import Record

DISTIL = "{tune:{objective:distill}}"
CHAINS = {
    "cut twice, prune, distil, share, quantise": (
        "lenet5",
        f"[teacher,{{cut:{{rate:0.2}}}},cut,prune,{DISTIL},share,quantize]",
        ["KeptChannels", "KeptChannels", "Sparse", "Shared", "Quantized"],
    ),
    "merge, factorise, prune, distil, quantise": (
        "lenet5",
        f"[teacher,merge,factorize,prune,{DISTIL},quantize]",
        ["KeptChannels", "Factorized", "Sparse", "Quantized"],
    ),
    "blocks, channels, shared by all layers, distilled, quantised": (
        "resnet8",
        "[teacher,{cut:{_target_:condenser.compress.channels.CutBlocks,count:1,"
        "criterion:{_target_:condenser.compress.channels.RandomBlock}}},"
        f"{{cut:{{rate:0.25}}}},{{share:{{across:true}}}},{DISTIL},quantize]",
        ["RemovedBlocks", "KeptChannels", "Shared", "Quantized"],
    ),
    "prune, share, distilled with the rounding": (
        "resnet8",
        "[teacher,prune,share,{quantize:{_target_:condenser.compress.QuantizationAware,bits:3,"
        "activation_bits:4,images:100,teachers:dense,objective:distill,epochs:1}}]",
        ["Sparse", "Shared", "Quantized"],
    ),
    "distilled with the rounding": (
        "resnet8",
        "[teacher,{quantize:{_target_:condenser.compress.QuantizationAware,bits:1,"
        "activation_bits:1,first_last:8,images:100,teachers:dense,epochs:1}}]",
        ["FoldBatchNorm", "Quantized"],
    ),
}


def folder_of(runs: Path, record: Record) -> Path:
    return runs / ".store" / f"{record['stage']}-{record['key']}"


@pytest.mark.parametrize(("model", "stages", "operations"), CHAINS.values(), ids=CHAINS)
def test_every_step_loads_to_the_same_bits(
    model: str, stages: str, operations: list[str], tmp_path: Path
) -> None:
    words = (f"recipe={stages}", f"model@teacher.model={model}", "cut.rate=0.25")
    records = run_in(tmp_path, *words)
    data = build(config_of("debug=fast", *words)["data"], batch_size=100, seed=0)
    torch.set_num_threads(1)
    for record in records:
        place = folder_of(tmp_path, record)
        kinds = {path.suffix for path in place.iterdir()}
        assert kinds == {".json", ".safetensors", ""}  # and SHA256SUMS
        spec, network = load(place)
        _, again = load(place)
        said = predict(network, data.test_dataloader()).logits
        assert torch.equal(said, load_file(place / LOGITS)["logits"]), record["stage"]
        assert torch.equal(said, predict(again, data.test_dataloader()).logits)
    assert [type(operation).__name__ for operation in spec.operations] == operations


def test_zeros_and_shared_values_live_through_later_stages(tmp_path: Path) -> None:
    stages = f"recipe=[teacher,{{prune:{{rate:0.6}}}},{{share:{{bits:3}}}},{DISTIL}]"
    pruned, shared, tuned = run_in(tmp_path, stages)[1:]
    assert pruned["size/nonzero"] >= shared["size/nonzero"] >= tuned["size/nonzero"]  # type: ignore[operator]
    before, after = (load(folder_of(tmp_path, r))[1].state_dict() for r in (pruned, tuned))
    for name, weight in after.items():
        if weight.dim() > 1:
            assert not weight[before[name] == 0].any()
            assert len(weight[weight != 0].unique()) <= 8
    assert tuned["size/distinct"] == shared["size/distinct"]
