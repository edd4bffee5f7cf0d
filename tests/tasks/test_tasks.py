"""Yes or no instead of one of many: the losses, who refuses them, and whole runs that learn."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from places import CONF
from running import run_in
from torch import Tensor

from condenser import data, distill
from condenser.config.instantiate import build
from condenser.data import Arrays, DataModule, Splits, digits
from condenser.distill import KD, Labels, LogitMSE, Objective, Outputs, Sum
from condenser.errors import CondenserError, ConfigError, DamagedError
from condenser.functional.losses import yes_or_no
from condenser.measure import Predictions, quality
from condenser.tasks import Binary, Multiclass, Multilabel, Task, Translation, task_of


def logits(*shape: int, seed: int = 0, size: float = 3.0) -> Tensor:
    return size * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


STUDENT, TEACHER = logits(16, 3, seed=1), logits(16, 3, seed=2)
TARGET = (logits(16, 3, seed=3) > 0).float()


# losses ----------------------------------------------------------------------------------------


def log_sigmoid(z: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0, -z)


def bce_in_numpy(z: Tensor, y: Tensor) -> float:
    s, t = z.double().numpy(), y.double().numpy()
    return -(t * log_sigmoid(s) + (1 - t) * log_sigmoid(-s)).mean()


def kl_in_numpy(student: Tensor, teacher: Tensor, temperature: float) -> float:
    s, t = (z.double().numpy() / temperature for z in (student, teacher))
    p = 1 / (1 + np.exp(-t))
    yes, no = log_sigmoid(t) - log_sigmoid(s), log_sigmoid(-t) - log_sigmoid(-s)
    return temperature**2 * (p * yes + (1 - p) * no).mean()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("task", [Binary(1), Multilabel(3)], ids=lambda task: task.word)
def test_losses_are_those_of_numpy_in_float64(task: Task, temperature: float) -> None:
    s, t, y = (x[:, : task.outputs] for x in (STUDENT, TEACHER, TARGET))
    hard, soft = bce_in_numpy(s, y), kl_in_numpy(s, t, temperature)
    assert task.hard_loss(s, y).item() == pytest.approx(hard, rel=1e-5)
    assert task.soft_loss(s, t, temperature).item() == pytest.approx(soft, rel=1e-5)
    objective = KD(temperature, alpha=0.3)
    objective.setup(task, y)
    loss = objective(Outputs(s), Outputs(t), y)["loss"].item()
    assert loss == pytest.approx(0.3 * hard + 0.7 * soft, rel=1e-5)


def test_a_loss_worked_out_by_hand() -> None:
    """p = ¾ and ¼ for yes; q = ½: KL = ln 2 - H(¼), twice."""
    teacher, student = torch.tensor([[math.log(3), -math.log(3)]]), torch.zeros(1, 2)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    task = Multilabel(2)
    assert task.soft_loss(student, teacher, 1.0).item() == pytest.approx(math.log(2) - entropy)
    wrong = task.hard_loss(teacher, torch.tensor([[0.0, 1.0]])).item()
    assert wrong == pytest.approx(math.log(4))


def test_hard_and_soft_are_the_same_mean_whatever_the_number_of_labels() -> None:
    whole, thrice = Multilabel(3), Multilabel(9)
    s, t, y = (x.repeat(1, 3) for x in (STUDENT, TEACHER, TARGET))
    assert thrice.hard_loss(s, y).item() == pytest.approx(whole.hard_loss(STUDENT, TARGET).item())
    soft = whole.soft_loss(STUDENT, TEACHER, 4.0).item()
    assert thrice.soft_loss(s, t, 4.0).item() == pytest.approx(soft)


def soft_gradient(temperature: float, size: float = 1.0) -> Tensor:
    student = (size * STUDENT).requires_grad_()
    Multilabel(3).soft_loss(student, size * TEACHER, temperature).backward()
    assert student.grad is not None
    return student.grad


def test_at_high_temperature_the_gradient_is_a_difference_of_logits() -> None:
    """σ(z/T) ≈ ½ + z/4T, so that T²·∂KL/∂z_s → (z_s - z_t)/4; the mean is over 16·3."""
    limit = (STUDENT - TEACHER) / 4 / 48
    torch.testing.assert_close(soft_gradient(1000.0), limit, rtol=1e-3, atol=1e-5)


def test_the_gradient_keeps_its_size_as_the_temperature_grows() -> None:
    sizes = [soft_gradient(t).norm().item() for t in (8.0, 32.0, 128.0)]
    assert max(sizes) / min(sizes) < 1.2  # without T² it would fall by 256


def test_what_is_decided() -> None:
    z = torch.tensor([[0.1, -3.0], [0.0, 50.0]])
    assert torch.equal(Multilabel(2).decide(z), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert torch.equal(Binary(1).decide(z[:, :1]), torch.tensor([[1.0], [0.0]]))
    assert torch.equal(Multiclass(2).decide(z), torch.tensor([0, 1]))


def test_tasks_by_word() -> None:
    assert task_of("multilabel", 4) == Multilabel(4) != Multilabel(5)
    assert task_of("binary", 1) == Binary(1) != Multilabel(1)
    with pytest.raises(ConfigError, match="data.task=multilable: .* did you mean multilabel?"):
        task_of("multilable", 4)
    with pytest.raises(ConfigError, match="data.classes=2 names: must be one name"):
        task_of("binary", 2)


# objectives ------------------------------------------------------------------------------------

TAUGHT = ("KD", "HardTeacher", "CTKD", "TTM", "WTTM")
TAKEN = (*TAUGHT, "LogitMSE", "Labels", "LabelSmoothing")
REFUSED = ("dkd", "nkd", "dist", "multi_temperature", "kd_std", "virtual_teacher")


def made(name: str, task: Task, **settings: Any) -> Objective:
    objective = getattr(distill, name)(**settings)
    objective.setup(task, TARGET)
    return objective


@pytest.mark.parametrize("name", [name for name in TAKEN if name != "LogitMSE"])
def test_a_label_is_a_choice_of_two_classes(name: str) -> None:
    """Whatever an objective says of (0, z) under softmax it says of z under the sigmoid."""
    student = STUDENT.clone().requires_grad_()
    labels = made(name, Multilabel(3))(Outputs(student), Outputs(TEACHER), TARGET)
    labels["loss"].backward()
    two, given = (
        torch.stack([torch.zeros(48), z.flatten()], dim=1).requires_grad_()
        for z in (STUDENT, TEACHER)
    )
    wanted = TARGET.flatten().long()
    classes = made(name, Multiclass(2))(Outputs(two), Outputs(given), wanted)
    classes["loss"].backward()
    assert labels.keys() == classes.keys()
    for term, value in classes.items():
        assert labels[term].item() == pytest.approx(value.item(), rel=1e-5), term
    assert student.grad is not None and two.grad is not None and given.grad is None
    torch.testing.assert_close(student.grad.flatten(), two.grad[:, 1])


def test_label_smoothing_is_cross_entropy_with_labels_that_are_not_quite_certain() -> None:
    smoothed = 0.8 * TARGET + 0.1
    terms = made("LabelSmoothing", Multilabel(3), smoothing=0.2)(Outputs(STUDENT), None, TARGET)
    assert terms["loss"].item() == pytest.approx(bce_in_numpy(STUDENT, smoothed), rel=1e-6)


EXTREMES = 1e4 * torch.tensor([[1.0, -1, 0], [-1, -1, 1], [0, 0, 0], [1, 1, 1], [-1, 1, 1e-4]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", TAKEN)
def test_extreme_logits_give_finite_losses_and_gradients(name: str, dtype: torch.dtype) -> None:
    objective = made(name, Multilabel(3))
    student = EXTREMES.to(dtype).clone().requires_grad_()
    target = torch.tensor([[0.0, 1, 0], [1, 1, 0], [0, 1, 1], [0, 0, 0], [1, 0, 1]])
    for teacher in (-EXTREMES, EXTREMES.flip(1), torch.zeros(5, 3), 1e-3 * EXTREMES):
        student.grad = None
        terms = objective(Outputs(student), Outputs(teacher.to(dtype)), target)
        terms["loss"].backward()
        assert all(value.dtype == torch.float32 and value.isfinite() for value in terms.values())
        assert student.grad is not None and student.grad.isfinite().all()
        assert student.grad[0].abs().max() > 1e-3  # wrong by 1e4: it is told so


@pytest.mark.parametrize("task", [Binary(1), Multilabel(3)], ids=lambda task: task.word)
@pytest.mark.parametrize("config", REFUSED)
def test_what_has_no_meaning_for_labels_is_refused_by_name(config: str, task: Task) -> None:
    settings: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"distill/{config}.yaml"))
    with pytest.raises(ConfigError) as raised:
        build(settings).setup(task, TARGET)
    way_out = "label_smoothing" if config == "virtual_teacher" else "kd"
    told = f"distill={config}: must be multiclass data, this is {task.word}"
    assert str(raised.value) == f"{told}; use distill={way_out}"
    assert (CONF / f"distill/{way_out}.yaml").is_file()


def test_every_config_takes_classes_and_takes_or_refuses_labels() -> None:
    for path in sorted((CONF / "distill").glob("*.yaml")):
        settings: Any = OmegaConf.to_container(OmegaConf.load(path))
        made = build(settings)
        made.setup(Translation(10) if made.rewrites else Multiclass(10), torch.arange(10))
        try:
            build(settings).setup(Multilabel(3), TARGET)
        except ConfigError as error:
            assert str(error).startswith(f"distill={path.stem}: ")
            assert str(error).partition("; use distill=")[2], path.stem


@pytest.mark.parametrize("task", [Binary(1), Multilabel(3), Multiclass(2)], ids=repr)
def test_z_scores_of_labels_or_of_two_classes_are_refused(task: Task) -> None:
    """Two numbers have the z-scores ±1/√2, whatever they are."""
    for objective in (KD(standardize=True), LogitMSE(standardize=True)):
        with pytest.raises(ConfigError, match=r"^distill.standardize=true: must be false for"):
            objective.setup(task, TARGET)
        objective.setup(Multiclass(3), torch.arange(3))


class Mine(Objective):
    """A user's own: it says nothing of tasks."""

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        return {"loss": self.task.hard_loss(student.logits, target)}


def test_an_objective_that_says_nothing_of_tasks_is_for_classes() -> None:
    objective = Mine()
    objective.setup(Multiclass(3), torch.arange(3))
    assert objective.task == Multiclass(3) and not objective.stochastic
    with pytest.raises(ConfigError, match=r"^distill=Mine: must be multiclass data, this is bi"):
        objective.setup(Binary(1), TARGET[:, :1])


def test_a_sum_asks_its_parts() -> None:
    def sum_of(**parts: Objective) -> Sum:
        return Sum({name: {"weight": 1.0, "objective": part} for name, part in parts.items()})

    kd, labels = KD(), Labels()
    sum_of(kd=kd, labels=labels).setup(Multilabel(3), TARGET)
    assert kd.task == labels.task == Multilabel(3)
    with pytest.raises(ConfigError, match="distill=dkd: must be multiclass data"):
        sum_of(kd=KD(), dkd=distill.DKD()).setup(Multilabel(3), TARGET)


# quality ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.5, 3.0, 100.0])
def test_the_quality_of_an_answer_is_that_of_two_classes(size: float) -> None:
    z, t, y = (x[:, :1].repeat(20, 1) for x in (size * logits(16, 1, seed=4), TEACHER, TARGET))
    z = z + logits(320, 1, seed=5)
    two, given = (torch.cat([torch.zeros_like(x), x], dim=1) for x in (z, t))
    expected = quality(Predictions(two, y.flatten().long()), given)
    got = quality(Predictions(z, y), t, Binary(1))
    for key, value in expected.items():
        assert got[key] == (value if value is None else pytest.approx(value, abs=1e-6)), key
    assert got.keys() == expected.keys() | {"f1", "auroc"}


def test_the_quality_of_labels_is_the_mean_of_theirs() -> None:
    z, t, y = logits(200, 3, seed=6), logits(200, 3, seed=7), (logits(200, 3, seed=8) > 1).float()
    each = [
        quality(Predictions(z[:, i : i + 1], y[:, i : i + 1]), t[:, i : i + 1], Binary(1))
        for i in range(3)
    ]
    got = quality(Predictions(z, y), t, Multilabel(3))
    for key in each[0].keys() - {"auroc", "top5"}:
        mean = sum(float(one[key] or 0) for one in each) / 3
        assert got[key] == pytest.approx(mean, abs=1e-6), key
    assert got["top5"] is None
    right = ((z > 0).float() == y).all(dim=1).float().mean().item()
    assert got["exact_match"] == pytest.approx(right)


def test_ranking_and_f1_are_scikit_learns_also_where_probabilities_are_1() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    z, y = 200 + 30 * logits(300, 3, seed=9), (logits(300, 3, seed=10) > 1).float()
    z[:, 2] -= 250
    got = quality(Predictions(z, y), task=Multilabel(3))
    said = (z > 0).int().numpy()
    assert got["map"] == pytest.approx(metrics.average_precision_score(y, z), abs=1e-6)
    assert got["f1"] == pytest.approx(metrics.f1_score(y, said, average="macro"), abs=1e-6)
    alone = quality(Predictions(z[:, :1], y[:, :1]), task=Binary(1))
    assert alone["auroc"] == pytest.approx(metrics.roc_auc_score(y[:, 0], z[:, 0]), abs=1e-6)


def test_what_labels_that_do_not_occur_leave_undefined() -> None:
    z, none = logits(20, 2, seed=11), torch.zeros(20, 2)
    assert quality(Predictions(z, none), task=Multilabel(2))["map"] is None
    assert quality(Predictions(z[:, :1], none[:, :1]), task=Binary(1))["auroc"] is None
    some = none.clone()
    some[:5, 0] = 1
    first = quality(Predictions(z[:, :1], some[:, :1]), task=Multilabel(1))
    assert quality(Predictions(z, some), task=Multilabel(2))["map"] == first["map"] is not None


# data ------------------------------------------------------------------------------------------


def test_messages_become_counts(tmp_path: Path) -> None:
    file = tmp_path / "SMSSpam" / "sms.tsv"
    file.parent.mkdir()
    lines = [f"ham\tsee you at {word} " for word in ("noon", "one", "two", "three", "four")]
    lines += [f"spam\tWIN win Win\t{word} " + 300 * "cash " for word in ("now", "here", "it")]
    file.write_text("\n".join([*lines, *lines[:3], ""]), "utf-8")
    train, test, classes, task, *_ = data.sms_spam(tmp_path, features=4096)
    assert (classes, task) == (["spam"], "binary") and train.shape == (1, 1, 4096)
    both = torch.cat([part.read(torch.arange(len(part.targets))) for part in (train, test)])
    targets = torch.cat([train.targets, test.targets])
    assert len(both) == 8 and targets.sum() == 3 and len(test.targets) == 2  # repeats count once
    for message, target in zip(both.flatten(1), targets.flatten(), strict=True):
        expected = [1, 3, 255] if target else [1, 1, 1, 1]  # see you at noon; now win cash
        assert sorted(message[message > 0].tolist()) == expected
    file.write_text("ham\tfine\neggs\n", "utf-8")
    with pytest.raises(DamagedError, match=r"sms\.tsv: no line of ham or spam, .*'eggs'"):
        data.sms_spam(tmp_path)
    file.unlink()
    with pytest.raises(ConfigError, match=r"SMSSpam; it is not there: put .* into .* as sms\.tsv"):
        data.sms_spam(tmp_path)
    with pytest.raises(ConfigError, match="data.source.features=0"):
        data.sms_spam(tmp_path, features=0)


def real(name: str) -> DataModule:
    root = os.environ.get("CONDENSER_DATA")
    if not root:
        pytest.skip("CONDENSER_DATA names no folder of data sets")
    settings: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"data/{name}.yaml"))
    return build(settings | {"root": root}, batch_size=64)


def test_sms_spam_has_its_published_numbers() -> None:
    sets = real("sms_spam")
    parts = (sets.parts.train, sets.parts.val, sets.parts.test)
    assert [len(part.targets) for part in parts] == [3723, 414, 1034]
    assert [part.targets.mean().item() for part in parts] == pytest.approx([0.1263] * 3, abs=2e-3)
    assert sets.task == Binary(1) and sets.num_classes == 1 and sets.input_shape == (1, 1, 1024)
    counts = sets.example(100)
    torch.testing.assert_close(counts, counts.round(), rtol=0, atol=1e-4)
    assert (counts == 0).float().mean() > 0.9 and counts.amax() >= 2


def test_fashion_attributes_tell_the_classes_apart() -> None:
    sets = real("fashion_attributes")
    train, classes = sets.parts.train.targets, data.fashion_mnist(sets.root or "").train.targets
    assert sets.task == Multilabel(7) == Multilabel(len(sets.classes))
    assert train.mean(dim=0).min() > 0.15 and train.mean(dim=0).max() < 0.55
    assert len(train.unique(dim=0)) == 10 and len(classes.unique()) == 10
    shares = train.unique(dim=0, return_counts=True)[1] / len(train)
    assert (shares - 0.1).abs().max() < 1e-3  # stratified by the row of labels


# runs ------------------------------------------------------------------------------------------


def attributes(root: object = None) -> Splits:
    """Of a digit: is it even, at least 5, prime, has it a hole."""
    having = ({0, 2, 4, 6, 8}, {5, 6, 7, 8, 9}, {2, 3, 5, 7}, {0, 6, 8, 9})
    table = torch.tensor([[digit in has for has in having] for digit in range(10)]).float()
    names = ["even", "large", "prime", "hole"]
    return labelled(table, names, "multilabel")


def rare(root: object = None) -> Splits:
    """Is it an 8?"""
    table = torch.tensor([[float(digit == 8)] for digit in range(10)])
    return labelled(table, ["eight"], "binary")


def labelled(table: Tensor, names: list[str], task: str) -> Splits:
    """The digits with a row of the table for each."""
    whole: Any = digits()
    train, test = (Arrays(part.images, table[part.targets]) for part in whole[:2])
    return Splits(train, test, names, task)


def words(source: str) -> list[str]:
    of = f"data.source._target_={__name__}.{source}"
    optim = [
        "optim.lr=1e-2",
        "optim.epochs=12",
        "optim.batch_size=64",
        "model@student.model=mlp_64",
    ]
    return [f"data.name={source}", of, "data.limit=null", *optim]


def test_labels_are_learnt_distilled_and_compressed_to_the_file(tmp_path: Path) -> None:
    """The student sees no label: a softmax's KL would leave it free to shift its logits."""
    recipe = "recipe=[teacher,distill,quantize,export]"
    done = run_in(
        tmp_path, recipe, *words("attributes"), "distill.alpha=0", "distill.temperature=2"
    )
    teacher, student, _, file = done
    assert float(teacher["test/accuracy"] or 0) > 0.97
    for record in done:
        assert float(record["test/accuracy"] or 0) > 0.95, record["stage"]
        assert float(record["test/exact_match"] or 0) > 0.85
        assert record["test/top5"] is None and float(record["test/map"] or 0) > 0.95
    assert float(student["teacher/agreement"] or 0) > 0.95
    assert float(student["teacher/kl"] or 9) < 0.1
    assert float(file["export/agreement"] or 0) > 0.98


def test_an_answer_is_learnt(tmp_path: Path) -> None:
    """One digit of ten: whoever always says no is right of 90 %."""
    both = run_in(tmp_path, "recipe=[teacher,distill]", *words("rare"))
    for record in both:
        assert float(record["test/accuracy"] or 0) > 0.95, record["stage"]
        assert float(record["test/f1"] or 0) > 0.7 and float(record["test/auroc"] or 0) > 0.97


def test_a_run_is_refused_before_any_training(tmp_path: Path) -> None:
    with pytest.raises(CondenserError, match="distill=dkd: must be multiclass data, this is"):
        run_in(tmp_path, "distill=dkd", *words("rare"))
    assert not list(tmp_path.rglob("*.safetensors")) and not list(tmp_path.rglob("records.jsonl"))


def test_yes_or_no_is_a_softmax_whose_first_is_the_sigmoid() -> None:
    pairs = yes_or_no(STUDENT).softmax(dim=1)
    torch.testing.assert_close(pairs[:, 0].view(16, 3), STUDENT.sigmoid())
