"""On-policy distillation: what the student says is what both are asked about."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from running import run_in
from torch import Tensor, nn

from condenser.data import Batch
from condenser.distill import GKD, Objective, Outputs, SequenceKD
from condenser.distill.divergence import divergence_of
from condenser.errors import ConfigError
from condenser.models import CausalTransformer, Translator
from condenser.models.decoding import continuing, sample, translate
from condenser.tasks import BOS, EOS, NOTHING, PAD, Multiclass, TokenPrediction

IDS = 9


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model = kind(IDS, width=16, heads=2, layers=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def ids(*shape: int) -> Tensor:
    return torch.randint(4, IDS, shape, generator=torch.Generator().manual_seed(1))


def rewritten(
    objective: Objective, model: nn.Module, x: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """By a model that is student and teacher."""
    batch = objective.rewrite(model, model, Batch(x, target, torch.arange(len(x))))
    return batch.image, batch.target


@torch.no_grad()
def test_with_a_cache_a_model_says_what_it_says_without() -> None:
    model, x = made(CausalTransformer).eval(), ids(3, 12)
    following = continuing(model)
    for end in range(4, 13):
        torch.testing.assert_close(following(x[:, :end]), model(x[:, :end])[:, -1])
    drawn = [
        sample(follow, x[:, :3], 9, 1.0, torch.Generator().manual_seed(4))
        for follow in (continuing(model), lambda said: model(said)[:, -1])
    ]
    assert torch.equal(*drawn)
    model.set_submodule("blocks.0", nn.Identity())  # as a cut leaves it
    torch.testing.assert_close(continuing(model)(x), model(x)[:, -1])


def test_a_block_keeps_its_begin_and_asks_for_what_the_student_said() -> None:
    student, x = made(CausalTransformer).train(), ids(4, 10)
    target = torch.cat([x[:, 1:], x[:, :1]], 1)
    target[0, 7:] = NOTHING
    torch.manual_seed(3)
    said, asked = rewritten(GKD(share=1.0, prompt=0.4), student, x, target)
    assert torch.equal(said[:, :4], x[:, :4])
    assert not torch.equal(said[:, 4:], x[:, 4:])
    assert (asked[:, :3] == NOTHING).all()
    assert torch.equal(asked[1:, 3:-1], said[1:, 4:])
    assert (asked[0, 7:] == NOTHING).all()
    assert (said != PAD).all()
    assert student.training
    torch.manual_seed(3)
    assert torch.equal(rewritten(GKD(share=1.0, prompt=0.4), student, x, target)[0], said)
    assert rewritten(GKD(share=0.0), student, x, target) == (x, target)


def test_a_translation_ends_where_the_student_ends_it() -> None:
    student, x = made(Translator), ids(16, 2, 8)
    said, asked = rewritten(GKD(share=1.0), student, x, x[:, 1])
    assert torch.equal(said[:, 0], x[:, 0])
    assert (said[:, 1, 0] == BOS).all()
    ended = 0
    for row, right in zip(said[:, 1].tolist(), asked.tolist(), strict=True):
        size = right.index(EOS) + 1 if EOS in right else len(right)
        ended += EOS in right
        assert row[1:size] == right[: size - 1]
        assert set(right[size:]) <= {NOTHING}
        assert set(row[size:]) <= {PAD}
    assert ended > 0


@torch.no_grad()
def test_a_sequence_is_the_teachers_beam_and_is_asked_for_once() -> None:
    teacher, x = made(Translator).eval(), ids(6, 2, 8)
    objective = SequenceKD(beams=3, longest=12)
    said, asked = rewritten(objective, teacher, x, x[:, 1])
    found = translate(teacher, x[:, 0], 3, longest=12)
    for row, text in enumerate(found):
        tokens = [token for token in text.tolist() if token != PAD]
        size = len(tokens)
        assert said[row, 1, : size + 1].tolist() == [BOS, *tokens]
        assert asked[row, : size + 1].tolist() == [*tokens, EOS]
        assert (asked[row, size + 1 :] == NOTHING).all()
    source = torch.nn.functional.pad(x[:, 0], (0, said.shape[2] - 8))
    assert torch.equal(said[:, 0], source)
    again = objective.rewrite(teacher, nn.Identity(), Batch(x, x[:, 1], torch.arange(6)))
    assert torch.equal(again.image, said)  # nobody is asked again
    with pytest.raises(ConfigError, match="distill=sequence_kd: must be data of translation"):
        objective.setup(TokenPrediction(IDS), torch.zeros(1, 4, dtype=torch.int64))


def test_of_its_own_text_it_learns_from_the_teacher_alone() -> None:
    objective = GKD(share=1.0, divergence="reverse", temperature=2.0, alpha=0.5)
    objective.setup(TokenPrediction(IDS), torch.zeros(1, 4, dtype=torch.int64))
    student, teacher = made(CausalTransformer), made(CausalTransformer)
    image, target = rewritten(objective, student, ids(4, 10), ids(4, 10))
    logits, given = student(image), teacher(image) + torch.randn(4, 10, IDS)
    asked = target != NOTHING
    terms = objective(Outputs(logits[asked]), Outputs(given[asked]), target[asked])
    expected = divergence_of("reverse")(logits[asked], given[asked], 2.0)
    torch.testing.assert_close(terms["loss"], 0.5 * expected)
    with pytest.raises(ConfigError, match="distill=gkd: must be data of tokens"):
        GKD().setup(Multiclass(3), torch.tensor([0]))


def test_a_run_is_the_seeds(tmp_path: Path) -> None:
    (tmp_path / "rhyme.txt").write_text("the cat sat on the mat.\n" * 30, encoding="utf-8")
    words = (
        *("data=text_file", "data.limit=null", "data.source.length=16", "distill=gkd"),
        *("model@teacher.model=decoder_nano", "model@student.model=decoder_nano"),
        *("teacher.model.layers=1", "student.model.layers=1", "student.model.width=16"),
        *("optim.epochs=2", "optim.lr=1e-2", "optim.batch_size=16", "recipe=[teacher,distill]"),
    )
    runs = [run_in(tmp_path / n, *words, f"data.root={tmp_path / 'rhyme.txt'}") for n in "ab"]
    first, second = (rows[1]["test/nll"] for rows in runs)
    assert first == second < 3.2
