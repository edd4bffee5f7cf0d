"""What cannot work is refused before anything is trained, in words about the setting."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import run_in

from condenser.errors import CondenserError

LENET, RESNET = "model@teacher.model=lenet5", "model@teacher.model=resnet8"
MISTAKES = [
    (
        "prune",
        ("prune=magnitude_per_layer", "prune.rate=0.9999"),
        "0.9999: .*fc2 would be empty",
    ),
    ("prune", (LENET, "prune=nm_2_4"), r"2:4: .* conv1 has 1; .* prune.exclude=\[conv1\]"),
    ("prune", ("prune=slimming",), "a network with convolutions before its last layer"),
    ("prune", ("prune.exclude=['*']",), "prune.exclude=.*: must be patterns that leave a layer"),
    ("prune", ("prune.rate=null",), "prune.rate=null: must be a number from 0"),
    ("cut", ("cut=l1_per_layer", "cut.rate=0.999"), r"cut.rate=0.999: .*\(fc1 would be empty\)"),
    ("cut", ("cut.rate=null", "cut.macs=0.0001"), "cut.macs=0.0001: must be a fraction from"),
    ("cut", ("cut.macs=0.5",), "cut={.*}: must be one of cut.rate, cut.macs, cut.params"),
    ("cut", ("cut=blocks",), "cut=CutBlocks: must be a network with residual blocks"),
    ("cut", (RESNET, "cut=blocks", "cut.rate=null", "cut.count=9"), "cut.count=9: .* at most 3"),
    ("cut", (RESNET, "cut=blocks", "cut.rate=0.1"), "cut.rate=0.1: must be more than 0.167, .* 3"),
    ("cut", ("cut=heads",), "cut=MLP: must be a network with heads"),
    ("merge", ("merge.rate=1.0",), "merge.rate=1.0: must be a number from 0 up to"),
    ("merge", ("merge.rate=0.9999",), "merge.rate=0.9999: .* a neuron in every layer"),
    ("share", ("share.bits=9",), "share.bits=9: must be a whole number from 1 to 8"),
    ("share", ("share.exclude=['*']",), "share.exclude=.*: must be patterns"),
    ("factorize", ("factorize.exclude=['*']",), "factorize.exclude=.*: must be patterns"),
    ("prune", ("baselines=[randm]",), r"baselines\.0=randm: unknown; did you mean random"),
]


@pytest.mark.parametrize(("stage", "overrides", "said"), MISTAKES)
def test_a_mistake_costs_no_training(
    stage: str, overrides: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(CondenserError, match=said):
        run_in(tmp_path, f"recipe=[teacher,{stage}]", *overrides)
    assert not list(tmp_path.glob(".store/*"))


def test_a_rate_across_layers_is_judged_by_the_trained_weights(tmp_path: Path) -> None:
    """Random weights of unlike layers would be refused; the trained ones are asked."""
    assert run_in(tmp_path, "recipe=[teacher,prune]", LENET, "prune.rate=0.7")
