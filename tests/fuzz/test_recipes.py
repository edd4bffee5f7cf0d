"""Random recipes: either refused in a line before training, or all that they say is true.

``make fuzz N=200`` tries more than ``make test`` does; a failure names its seed.
"""

from __future__ import annotations

import copy
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from recipes import recipe
from running import run_in

from condenser.checkpoint.model_spec import load, violations
from condenser.compress import Quantized, Shared, Sparse
from condenser.errors import CondenserError
from condenser.runs.records import Record

COUNT = int(os.environ.get("FUZZ", "6"))
TRUSTED = ("nets.SmallTransformer",)
AGREEMENT = 0.995


@pytest.mark.parametrize("seed", range(COUNT))
def test_a_recipe_is_refused_or_keeps_its_word(seed: int, tmp_path: Path) -> None:
    words = recipe(seed)
    print(" ".join(words))
    try:
        records = run_in(tmp_path, *words)
    except CondenserError as error:
        said = str(error)
        print(f"refused: {said}")
        assert "undid" not in said and "asks for" not in said, said  # the laws of a stage's end
        assert "\n" not in said or "must be" in said, said
        return
    models = [kept(tmp_path, record) for record in records]
    for (one, start), (two, end) in pairwise(models):
        assert violations(one, copy.deepcopy(start), two, end) == {}
    for record, (spec, model) in zip(records, models, strict=True):
        read_back(record, spec, model)


def kept(folder: Path, record: Record) -> Any:
    return load(folder / ".store" / f"{record['stage']}-{record['key']}", TRUSTED)


def read_back(record: Record, spec: Any, model: torch.nn.Module) -> None:
    """The record's own words, beside the weights of the stored network."""
    word = record["stage"]
    parameters = dict(model.named_parameters())
    nonzero = sum(int(p.count_nonzero()) for p in parameters.values())
    assert record["size/nonzero"] == nonzero
    if word == "prune" and record.get("prune/achieved") is not None:
        layers = next(o for o in reversed(spec.operations) if isinstance(o, Sparse)).layers
        gone = [parameters[f"{name}.weight"] for name in layers]
        share = sum(int((w == 0).sum()) for w in gone) / sum(w.numel() for w in gone)
        assert share >= float(str(record["prune/achieved"])) - 1e-6
    if word == "share":
        shared = next(o for o in reversed(spec.operations) if isinstance(o, Shared))
        for name in shared.layers:
            weight = parameters[f"{name}.weight"]
            assert weight[weight != 0].unique().numel() <= 2**shared.bits
    if word == "export" and record.get("export/agreement") is not None:
        quantised = any(isinstance(o, Quantized) for o in spec.operations)
        assert float(str(record["export/agreement"])) >= (AGREEMENT if quantised else 1 - 1e-6)
