"""What a stage says it did is in its weights; what it left alone is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from running import run_in
from torch import nn

from condenser.checkpoint.model_spec import load
from condenser.compress import WeightPruning
from condenser.errors import CondenserError
from condenser.functional.schedules import ramp
from condenser.pipeline.console import left_alone
from condenser.runs.records import Record

LENET = "model@teacher.model=lenet5"


def weights(folder: Path, record: Record) -> dict[str, Any]:
    _, model = load(folder / ".store" / f"{record['stage']}-{record['key']}", ("nets.Words",))
    return dict(model.named_parameters())


@pytest.mark.parametrize(
    "option", ["magnitude", "filter", "rigl", "nm_2_4", "per_layer", "movement", "slimming"]
)
def test_without_training_a_pruning_prunes_all_the_same(option: str, tmp_path: Path) -> None:
    own = [f"prune={option}", "prune.epochs=0", LENET]
    own += ["prune.regrow=0"] if option == "rigl" else []
    own += ["prune.exclude=[conv1]"] if option == "nm_2_4" else []
    if option == "slimming":
        own[-1] = "model@teacher.model=resnet8_thin"
    *_, record = run_in(tmp_path, "recipe=[teacher,prune]", *own)
    asked = 0.8 if option == "rigl" else 0.5
    assert record["prune/achieved"] == pytest.approx(asked, abs=0.03)
    named = str(record["prune/achieved_of"])
    total = int(named.split()[2].replace(",", ""))
    zeros = sum(int((w == 0).sum()) for w in weights(tmp_path, record).values() if w.dim() > 1)
    assert zeros == pytest.approx(asked * total, rel=0.06)


def test_a_stage_that_does_less_than_it_was_asked_fails_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WeightPruning, "at_once", lambda self: None)
    says = r"^1-prune: prune.rate asks for 0.5 of the .* weights of fc1, fc2 at zero; it is 0$"
    with pytest.raises(CondenserError, match=says):
        run_in(tmp_path, "recipe=[teacher,prune]", "prune.epochs=0")


def test_so_does_one_whose_schedule_ends_before_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import condenser.functional.schedules as schedules

    monkeypatch.setattr(schedules, "cubic", lambda progress: 0.8 * ramp(progress))
    with pytest.raises(CondenserError, match=r"prune.rate asks for 0.5 .*; it is 0.4000"):
        run_in(tmp_path, "recipe=[teacher,prune]")


class Words(nn.Module):
    """A table of embeddings that holds nearly all weights."""

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.table = nn.Embedding(17, 200)
        self.head = nn.Linear(200, num_classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        places = (image.flatten(1).clamp(-1, 1) * 8 + 8).long()
        out: torch.Tensor = self.head(self.table(places).mean(1))
        return out


@pytest.mark.parametrize("word", ["prune", "share", "quantize", "factorize"])
def test_what_is_left_alone_is_said_layer_by_layer(word: str, tmp_path: Path) -> None:
    own = "{_target_:test_promises.Words,name:words}"
    model = ["~teacher.model", f"+teacher.model={own}", "factorize.params=0.9"]
    *_, record = run_in(tmp_path, f"recipe=[teacher,{{{word}:{{epochs:0}}}}]", *model)
    kind = "a layer of a kind that it leaves alone (Embedding)"
    assert record[f"{word}/left_alone"] == f"table: 3,400 ({kind})"
    assert record[f"{word}/left_alone_share"] == pytest.approx(3400 / 5410)
    assert left_alone(record) == f"left alone 62.8% of the weights: table: 3,400 ({kind})"
    if word == "prune":
        assert record["prune/achieved"] == 0.5
        assert record["prune/achieved_of"] == "of the 2,000 weights of head at zero"
        assert record["prune/achieved_of_all"] == pytest.approx(1000 / 5410, abs=1e-3)


def test_one_word_is_one_pattern(tmp_path: Path) -> None:
    run = [LENET, "recipe=[teacher,{prune:{epochs:0}}]"]
    *_, one = run_in(tmp_path, *run, "prune.exclude=fc1")
    *_, same = run_in(tmp_path, *run, "prune.exclude=[fc1]", run="same")
    assert int((weights(tmp_path, one)["fc1.weight"] == 0).sum()) == 0
    assert one["size/nonzero"] == same["size/nonzero"]
    assert str(one["prune/left_alone"]).endswith("(exclude names it)")
