"""Inputs that are no images: padding and order change nothing, tasks that decide at many places."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from running import run_in
from sequences import IDS, LONGEST, Bag, Tagger, rows, texts, tokens, waves

from condenser import models
from condenser.checkpoint import model_spec
from condenser.checkpoint.model_spec import ModelSpec
from condenser.data import Arrays, DataModule, HorizontalFlip, Splits
from condenser.distill import KD, Outputs
from condenser.errors import ConfigError
from condenser.measure import Predictions, predict, quality
from condenser.tasks import Ranking, TokenPrediction, Vocabulary, merit


def module(source: Callable[[object], Splits] = texts, **settings: object) -> DataModule:
    made = DataModule("ids", source, batch_size=16, **settings)  # type: ignore[arg-type]
    made.setup()
    return made


def padded(splits: Splits, more: int) -> Splits:
    """The same with more padding."""

    def wider(part: object) -> Arrays:
        assert isinstance(part, Arrays)
        ids = torch.nn.functional.pad(part.images, (0, more))
        grown = part.targets.ndim == 2
        target = torch.nn.functional.pad(part.targets, (0, more), value=-100) if grown else None
        return Arrays(ids, part.targets if target is None else target)

    return splits._replace(train=wider(splits.train), test=wider(splits.test))


@pytest.mark.parametrize(("source", "net"), [(texts, Bag), (tokens, Tagger)])
def test_padding_changes_no_batch_and_no_answer(
    source: Callable[[], Splits], net: type[Bag]
) -> None:
    plain, wide = module(lambda _: source()), module(lambda _: padded(source(), 7))
    assert wide.input_shape == (LONGEST + 7,) and plain.input_shape == (LONGEST,)
    for one, other in zip(
        plain.train_dataloader().at(1), wide.train_dataloader().at(1), strict=True
    ):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
        assert (one.image != 0).any(0)[-1], "cut to the longest"
    torch.manual_seed(0)
    model = net((LONGEST,), IDS, IDS)
    both = [predict(model, data.test_dataloader(), data.task) for data in (plain, wide)]
    assert torch.equal(both[0].logits, both[1].logits)
    assert torch.equal(both[0].targets, both[1].targets)


def test_batches_are_of_like_length_and_a_function_of_seed_and_epoch() -> None:
    data = module()
    loader = data.train_dataloader()
    first, again, second = ([b.index for b in loader.at(epoch)] for epoch in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(torch.cat(first), torch.cat(second))
    assert torch.cat(first).sort().values.tolist() == list(range(data.train_size))
    ids = [batch.image for batch in loader.at(0)]
    padding = sum(int((batch == 0).sum()) for batch in ids) / sum(batch.numel() for batch in ids)
    assert padding < 0.1, "of ids of 3 to 12 in any order it is a third"
    resumed = [b.index for b in loader.at(0, 5)]
    assert all(torch.equal(a, b) for a, b in zip(first[5:], resumed, strict=True))


def test_ranks_share_the_batches_of_like_length() -> None:
    data = module()
    shares = []
    for rank in (0, 1):
        data.part, data.batch_size = (rank, 2), 8
        shares.append([b.index for b in data.train_dataloader().at(3)])
    data.part, data.batch_size = (0, 1), 16
    whole = [b.index for b in data.train_dataloader().at(3)]
    for step, (one, other) in enumerate(zip(*shares, strict=True)):
        together = torch.cat((one, other)).sort().values
        assert len(together) < 16 or torch.equal(together, whole[step].sort().values)


def test_an_example_has_the_median_length_and_ids_stay_as_they_are() -> None:
    data = module()
    example, target = data.labelled(2)
    assert example.dtype == torch.int64 and example.shape[0] == len(target) == 2
    lengths = data.parts.train.lengths  # type: ignore[attr-defined]
    assert example.shape[1] == lengths.median()
    assert data.mean == data.std == () and data.calibration(40).dtype == torch.int64


def test_a_token_task_decides_where_it_is_asked() -> None:
    task = TokenPrediction(3)
    logits = torch.tensor([[[2.0, 0, 0], [0, 2, 0]], [[0, 0, 2], [9, 9, 9]]])
    target = torch.tensor([[0, 2], [2, -100]])
    flat, asked = task.decisions(logits, target)
    assert flat.shape == (3, 3) and asked.tolist() == [0, 2, 2]
    right = math.log(math.exp(2) + 2) - 2
    wrong = math.log(math.exp(2) + 2)
    nll = (2 * right + wrong) / 3
    found = quality(Predictions(flat, asked), task=task)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["nll"] == pytest.approx(nll) == task.loss(logits, target).item()
    assert found["perplexity"] == pytest.approx(math.exp(nll))
    assert found["bits"] == pytest.approx(nll / math.log(2))
    objective = KD(temperature=2.0, alpha=0.5)
    objective.setup(task, target)
    assert objective(Outputs(flat), Outputs(flat), asked)["soft"].item() == pytest.approx(0)


def test_a_ranking_leaves_out_what_was_seen() -> None:
    task = Ranking(12)
    logits = torch.arange(12.0).repeat(2, 1)  # the last is first
    target = torch.tensor([[9, 11, -100], [0, -100, -100]])
    ranked, asked = task.decisions(logits, target)
    found = quality(Predictions(ranked, asked), task=task)
    assert found["recall10"] == 0.5, "9 is second, behind 10; 0 is twelfth"
    assert found["ndcg10"] == pytest.approx(1 / math.log2(3) / 2)
    assert task.credit(ranked, asked).mean().item() == pytest.approx(found["ndcg10"])
    constant, _ = task.decisions(torch.zeros(2, 12), target)
    assert quality(Predictions(constant, asked), task=task)["ndcg10"] < 0.4, "not the best of all"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: module(lambda _: texts()._replace(vocabulary=Vocabulary(8))), "token ids 0 to 19"),
        (lambda: module(lambda _: texts()._replace(vocabulary=None)), "must be a vocabulary"),
        (lambda: module(lambda _: waves()._replace(vocabulary=Vocabulary(8))), "no other"),
        (lambda: module(mean=[0.5], std=[1.0]), "must be null for token ids"),
        (lambda: module(augment=[HorizontalFlip()]), "null for data that has no images"),
        (
            lambda: models.build({"_target_": "condenser.models.LeNet5"}, (9,), 2, (), 9),
            "token ids",
        ),
        (lambda: models.build({"_target_": "condenser.models.LeNet5"}, (1, 9), 2), "takes images"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


def test_a_stored_network_keeps_its_vocabulary(tmp_path: Path) -> None:
    ids = Vocabulary(IDS, '{"kind": "word"}')
    spec = ModelSpec({"_target_": "sequences.Bag"}, (LONGEST,), 2, vocabulary=ids)
    model = spec.build(("sequences.Bag",)).eval()
    model_spec.save(tmp_path, spec, model)
    again, loaded = model_spec.load(tmp_path, ("sequences.Bag",))
    assert again.vocabulary == ids and again.normalisation is None
    assert torch.equal(loaded(rows(4, 0)), model(rows(4, 0)))
    plain = ModelSpec({"_target_": "condenser.models.LeNet5"}, (1, 28, 28), 10)
    assert "vocabulary" not in plain.to_json(), "stored images stay as they were"


@pytest.mark.parametrize(
    ("source", "net", "chosen"),
    [("tokens", "Tagger", "nll"), ("items", "Bag", "ndcg10")],
)
def test_a_recipe_runs_and_is_chosen_by_its_own_metric(
    tmp_path: Path, source: str, net: str, chosen: str
) -> None:
    one = f"_target_=sequences.{net}"
    words = ["data=digits", f"data.source._target_=sequences.{source}", f"data.name={source}"]
    words += [f"model@{role}.model=own" for role in ("teacher", "student")]
    words += [f"teacher.model.{one}", f"student.model.{one}", "+teacher.model.width=32"]
    words += ["recipe=[teacher,distill,{prune:{rate:0.5}}]", "optim.epochs=4", "optim.lr=0.05"]
    made = run_in(tmp_path, *words, "data.limit=null", "optim.batch_size=32")
    first, *_, last = made
    assert {f"val/{chosen}", f"test/{chosen}", "test/accuracy", "compute/macs"} <= set(last)
    assert not any(key.startswith("class/") for key in last)
    assert merit(last) == (-1 if chosen == "nll" else 1) * last[f"val/{chosen}"]
    blind = {"nll": math.log(IDS), "ndcg10": 0.25}[chosen]
    assert (first[f"test/{chosen}"] < blind) == (chosen == "nll")
