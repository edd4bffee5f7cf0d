"""Embeddings of token ids are pruned, shared and quantised as layers; files look codes up."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from sequences import IDS, LONGEST, Bag, rows
from torch import nn

from condenser.checkpoint import packed
from condenser.checkpoint.model_spec import ModelSpec
from condenser.compress import KMeansSharing, PostTraining, Quantized, WeightPruning, prunable
from condenser.compress.quantization.sites import quantizable
from condenser.compress.scores import Magnitude
from condenser.deploy import session
from condenser.deploy.quantized import to_quantized_onnx
from condenser.functional.pruning import layerwise_threshold
from condenser.tasks import Vocabulary


def bag() -> Bag:
    torch.manual_seed(0)
    return Bag((LONGEST,), 2, IDS).eval()


def test_tables_of_ids_are_layers_and_those_of_positions_are_none() -> None:
    model = nn.ModuleDict({"ids": nn.Embedding(9, 4, padding_idx=0), "at": nn.Embedding(9, 4)})
    assert list(prunable(model)) == quantizable(model) == ["ids"]


def test_pruned_and_shared_the_row_of_padding_stays_zero() -> None:
    model = bag()
    prune = WeightPruning(0.7, Magnitude(), scope=layerwise_threshold)
    prune.prepare(model)
    prune.at_once()
    share = KMeansSharing(3)
    share.prepare(model)
    weight = model.embedding.weight.detach()
    assert not weight[0].any() and len(weight.unique()) <= 9
    zeros = sum(int((w == 0).sum()) for w in prunable(model).values())
    total = sum(w.numel() for w in prunable(model).values())
    assert zeros / total == pytest.approx(0.7, abs=0.01)


def test_rounded_to_one_grid_and_its_file_answers_alike(tmp_path: Path) -> None:
    model, ids, bits = bag(), rows(64, 1), 4
    exact = model(ids).detach()
    made = PostTraining(bits=bits, activation_bits=None, images=64)(model, ids)
    operation = next(one for one in made if isinstance(one, Quantized))
    assert operation.tensors == ["embedding"] and operation.bits_of("embedding") == (bits, None)
    assert len(model.embedding.weight.unique()) <= 2**bits
    assert 0 < (model(ids) - exact).abs().max() < 1.0
    path = tmp_path / "bag.onnx"
    to_quantized_onnx(model, operation, ids, path)
    said = session(path)(ids[:9])
    torch.testing.assert_close(said, model(ids[:9]).detach(), rtol=0, atol=1e-5)
    graph = onnx.load(path).graph
    (lookup,) = [node for node in graph.node if node.op_type == "Gather"]
    assert lookup.input[0] in {tensor.name for tensor in graph.initializer}, "codes are looked up"


def test_a_weight_that_is_embedding_and_head_is_stored_in_codes_once() -> None:
    settings = {"width": 16, "heads": 2, "layers": 1}
    architecture = {"_target_": "condenser.models.CausalTransformer", **settings}
    spec = ModelSpec(architecture, (LONGEST,), IDS, vocabulary=Vocabulary(IDS))
    model = spec.build().eval()
    spec = spec.then(PostTraining(bits=8, activation_bits=8, images=16)(model, rows(16, 1)))
    (row,) = [row for row in packed.table(spec, model) if row.name == "embedding.weight"]
    assert row.bytes < 1.2 * IDS * 16 + row.overhead
    again, back = packed.unpack(packed.pack(spec, model))
    assert torch.equal(back.head.weight, model.head.weight) and again == spec
    assert back.embedding.weight is back.head.weight
