"""Objectives on logits: numbers of NumPy and of the authors' code, and the laws they share."""

from __future__ import annotations

import inspect
import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from places import CONF, GOLDENS
from torch import Tensor, nn

from condenser import distill
from condenser.config.instantiate import build
from condenser.data import Batch
from condenser.distill import CTKD, DIST, DKD, KD, LogitObjective, Objective, Outputs
from condenser.errors import CondenserError, ConfigError, shown
from condenser.functional.logit_losses import pearson
from condenser.tasks import Multiclass
from condenser.training.plan import Plan
from condenser.training.student import Student

GOLDEN = json.loads((GOLDENS / "logits.json").read_text())
CASES = GOLDEN["cases"]
CONFIGS = {
    "ctkd": "CTKD",
    "dist": "DIST",
    "dkd": "DKD",
    "hard_teacher": "HardTeacher",
    "kd": "KD",
    "kd_std": "StandardizedKD",
    "label_smoothing": "LabelSmoothing",
    "logit_mse": "LogitMSE",
    "multi_temperature": "MultiTemperature",
    "nkd": "NKD",
    "ttm": "TTM",
    "virtual_teacher": "VirtualTeacher",
    "wttm": "WTTM",
}
TAUGHT = [n for n in CONFIGS.values() if n not in ("LabelSmoothing", "VirtualTeacher")]
EVERY = [
    *((name, {}) for name in CONFIGS.values()),
    *((name, {"standardize": True}) for name in TAUGHT if name != "StandardizedKD"),
]
every = pytest.mark.parametrize(
    ("name", "settings"), EVERY, ids=[f"{n}{'-z' if s else ''}" for n, s in EVERY]
)


def make(name: str, **settings: Any) -> Objective:
    return getattr(distill, name)(**settings)


def randn(*shape: int, seed: int, size: float = 3.0) -> Tensor:
    return size * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


STUDENT, TEACHER, TARGET = randn(16, 10, seed=1), randn(16, 10, seed=2), torch.arange(16) % 10


def terms_of(
    objective: Objective,
    student: Tensor = STUDENT,
    teacher: Tensor = TEACHER,
    target: Tensor = TARGET,
) -> dict[str, Tensor]:
    return objective(Outputs(student), Outputs(teacher), target)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_terms_and_gradients_are_those_of_numpy_and_of_the_authors(case: dict[str, Any]) -> None:
    objective = make(case["objective"], **case["settings"])
    if case["progress"] is not None:
        objective.progress(case["progress"])
    student = torch.tensor(GOLDEN["student"]).requires_grad_()
    target = torch.tensor(GOLDEN["target"])
    got = terms_of(objective, student, torch.tensor(GOLDEN["teacher"]), target)
    got["loss"].backward()
    for name, value in (case["terms"] | {"loss": case["loss"]}).items():
        assert got[name].item() == pytest.approx(value, rel=1e-5, abs=1e-5), name
    assert got.keys() == case["terms"].keys() | {"loss"}
    for author in case["authors"]:
        ours = sum(weight * got[name].item() for name, weight in author["terms"].items())
        assert ours == pytest.approx(author["value"], rel=1e-5), author["repository"]
    expected = torch.tensor(case["gradient"])
    torch.testing.assert_close(student.grad, expected, rtol=1e-5, atol=1e-5)
    if isinstance(objective, CTKD):
        assert objective.theta.grad is not None
        assert objective.theta.grad.item() == pytest.approx(case["theta_gradient"], abs=1e-6)


def test_every_objective_has_a_golden_number_and_most_one_of_its_authors() -> None:
    assert {case["objective"] for case in CASES} == set(CONFIGS.values())
    theirs = {case["objective"] for case in CASES if case["authors"]}
    assert theirs == set(CONFIGS.values())


@pytest.mark.parametrize("config", CONFIGS)
def test_the_config_builds_the_class_with_its_defaults(config: str) -> None:
    path = CONF / f"distill/{config}.yaml"
    settings: Any = OmegaConf.to_container(OmegaConf.load(path))
    objective = build(settings)
    assert type(objective).__name__ == CONFIGS[config]
    given = {key: value for key, value in settings.items() if key != "_target_"}
    defaults = {n: p.default for n, p in inspect.signature(type(objective)).parameters.items()}
    assert given.keys() == defaults.keys()
    for key, value in given.items():
        assert value == pytest.approx(defaults[key], abs=1e-4), key
    assert path.read_text().startswith("# L = ")
    assert "https://" in (type(objective).__doc__ or "")
    assert terms_of(objective)["loss"] > 0


# What of the loss is at its minimum, and where, for a teacher z: 0 but for cross-entropies.
MINIMA: list[tuple[str, dict[str, Any], str, Any, float | None]] = [
    ("KD", {}, "soft", lambda z: z, 0),
    ("KD", {"standardize": True}, "soft", lambda z: 5 * z - 2, 0),
    ("StandardizedKD", {}, "soft", lambda z: z / 3 + 1, 0),
    ("LogitMSE", {}, "soft", lambda z: z, 0),
    ("DKD", {}, "target", lambda z: z, 0),
    ("DKD", {}, "nontarget", lambda z: z, 0),
    ("NKD", {"temperature": 2.0}, "nontarget", lambda z: z, None),
    ("DIST", {}, "inter", lambda z: z, 0),
    ("DIST", {}, "intra", lambda z: z, 0),
    ("MultiTemperature", {}, "soft", lambda z: z, 0),
    ("MultiTemperature", {}, "batch", lambda z: z, 0),
    ("MultiTemperature", {}, "class", lambda z: z, 0),
    ("CTKD", {}, "soft", lambda z: z, 0),
    ("TTM", {"temperature": 2.5}, "soft", lambda z: z / 2.5, 0),
    ("WTTM", {"temperature": 2.5}, "soft", lambda z: z / 2.5, 0),
]


@pytest.mark.parametrize(("name", "settings", "term", "best", "value"), MINIMA)
def test_a_student_that_gives_what_the_teacher_asks_has_nothing_to_learn(
    name: str, settings: dict[str, Any], term: str, best: Any, value: float | None
) -> None:
    objective = make(name, **settings)
    student = best(TEACHER).detach().clone().requires_grad_()
    at_best = terms_of(objective, student)[term]
    at_best.backward()
    elsewhere = terms_of(objective)[term].item()
    if value is not None:
        assert at_best.item() == pytest.approx(value, abs=2e-5)
    assert elsewhere > at_best.item() + 0.01
    assert student.grad is not None
    assert student.grad.abs().max() < 2e-5


def test_label_smoothing_is_least_at_the_entropy_of_its_labels() -> None:
    labels = torch.full((3, 4), 0.2 / 4)
    labels[range(3), [2, 0, 1]] += 0.8
    objective = make("LabelSmoothing", smoothing=0.2)
    target = torch.tensor([2, 0, 1])
    loss = terms_of(objective, labels.log(), labels, target)["loss"]
    entropy = -(0.85 * math.log(0.85) + 3 * 0.05 * math.log(0.05))
    assert loss.item() == pytest.approx(entropy, rel=1e-6)
    beside = labels.log() + randn(3, 4, seed=3, size=1.0)
    assert terms_of(objective, beside, labels, target)["loss"] > loss + 0.01


def test_the_hard_teacher_says_its_decision_and_no_more() -> None:
    objective = make("HardTeacher", alpha=0.25)
    decided = TEACHER.argmax(dim=1)
    relabelled = terms_of(objective, teacher=10 * TEACHER)
    ce = nn.functional.cross_entropy
    expected = 0.25 * ce(STUDENT, TARGET) + 0.75 * ce(STUDENT, decided)
    assert relabelled["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_kd_is_target_plus_what_the_teacher_leaves_times_nontarget() -> None:
    """Zhao et al. 2022, equation 6, sample by sample."""
    dkd, kd = DKD(temperature=2.0), KD(temperature=2.0)
    for i in range(16):
        one = [x[i : i + 1] for x in (STUDENT, TEACHER, TARGET)]
        parts, rest = terms_of(dkd, *one), 1 - (TEACHER[i] / 2).softmax(dim=0)[TARGET[i]]
        whole = parts["target"] + rest * parts["nontarget"]
        assert terms_of(kd, *one)["soft"].item() == pytest.approx(whole.item(), rel=1e-4)


def test_what_a_transformed_teacher_weighs() -> None:
    """U is 1 for a certain teacher, C^(1-γ) for an ignorant one, between them TTM in between."""
    student = STUDENT[:1].expand(2, -1)
    for teacher, mass in ((100 * torch.eye(10)[:1], 1.0), (torch.zeros(1, 10), 10**0.8)):
        of = {n: make(n, temperature=5.0) for n in ("TTM", "WTTM")}
        soft = {
            n: terms_of(o, student[:1], teacher, TARGET[:1])["soft"].item() for n, o in of.items()
        }
        assert soft["WTTM"] == pytest.approx(mass * soft["TTM"], rel=1e-5)


@every
def test_the_order_of_a_batch_does_not_matter(name: str, settings: dict[str, Any]) -> None:
    order = torch.randperm(16, generator=torch.Generator().manual_seed(3))
    objective = make(name, **settings)
    straight = terms_of(objective)
    shuffled = terms_of(objective, STUDENT[order], TEACHER[order], TARGET[order])
    for term, value in straight.items():
        assert value.item() == pytest.approx(shuffled[term].item(), rel=2e-5), term
    apart = terms_of(objective, STUDENT[order], TEACHER, TARGET)
    assert apart["loss"].item() != pytest.approx(straight["loss"].item(), rel=1e-3)


@every
def test_gradients_reach_the_student_and_not_the_teacher(
    name: str, settings: dict[str, Any]
) -> None:
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    terms_of(make(name, **settings), student, teacher)["loss"].backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert (student.grad.abs().sum(dim=1) > 0).all()


EXTREMES = 1e4 * torch.tensor(
    [[1.0, -1, 0, 0.5], [-1, -1, -1, 1], [0, 0, 0, 0], [1, 1, -1, -1], [-1, 1, 1, 1], [1, 1, 1, 1]]
)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_logits_give_finite_losses_and_gradients(
    name: str, settings: dict[str, Any], dtype: torch.dtype
) -> None:
    objective = make(name, **settings)
    student = EXTREMES.to(dtype).clone().requires_grad_()
    for teacher in (EXTREMES.flip(1), EXTREMES, -EXTREMES, torch.zeros(6, 4), 1e-3 * EXTREMES):
        terms = terms_of(objective, student, teacher.to(dtype), torch.tensor([1, 0, 2, 3, 0, 1]))
        assert all(torch.isfinite(value) for value in terms.values()), terms
        student.grad = None
        terms["loss"].backward()
        assert student.grad is not None
        assert torch.isfinite(student.grad).all()
        assert all(p.grad is not None and torch.isfinite(p.grad) for p in objective.parameters())


@every
def test_precision_around_a_loss_is_not_its_own(name: str, settings: dict[str, Any]) -> None:
    objective = make(name, **settings)
    student, teacher = STUDENT.bfloat16(), TEACHER.bfloat16()
    expected = terms_of(objective, student.float(), teacher.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = terms_of(objective, student, teacher)
    for term, value in terms.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(expected[term].item(), rel=1e-6), term


@every
def test_a_small_step_lowers_the_loss(name: str, settings: dict[str, Any]) -> None:
    objective = make(name, **settings)
    student = STUDENT.clone().requires_grad_()
    before = terms_of(objective, student)["loss"]
    before.backward()
    assert student.grad is not None
    step = 0.05 / student.grad.norm()
    torch.optim.SGD([student], lr=step.item()).step()
    after = terms_of(objective, student)["loss"]
    # A step along the gradient lowers it by size times norm, but for curvature.
    assert after < before - 0.5 * 0.05 * student.grad.norm()


REFUSED: list[tuple[str, str, Any, str]] = [
    *(
        (name, "temperature", value, "a finite number above 0")
        for name in ("KD", "StandardizedKD", "VirtualTeacher", "DKD", "NKD", "DIST", "TTM", "WTTM")
        for value in (0, -1.5, math.nan, math.inf, "4", True)
    ),
    *(
        (name, "alpha", value, "a number from 0 to 1")
        for name in ("KD", "LogitMSE", "HardTeacher", "VirtualTeacher")
        for value in (-0.1, 1.5, math.nan)
    ),
    *(
        (name, f"{part}_weight", value, "a finite number of at least 0")
        for name, parts in {
            "StandardizedKD": ("hard", "soft"),
            "DKD": ("hard", "target", "nontarget"),
            "NKD": ("hard", "nontarget"),
            "DIST": ("hard", "inter", "intra"),
            "MultiTemperature": ("hard", "soft"),
            "CTKD": ("hard", "soft"),
            "TTM": ("hard", "soft"),
            "WTTM": ("hard", "soft"),
        }.items()
        for part in parts
        for value in (-1, math.inf)
    ),
    *((name, "standardize", 1, "true or false") for name in TAUGHT if name != "StandardizedKD"),
    ("LabelSmoothing", "smoothing", 1.1, "a number from 0 to 1"),
    ("VirtualTeacher", "correct", -0.1, "a number from 0 to 1"),
    ("DKD", "warmup", 20, "a number from 0 to 1"),
    ("CTKD", "curriculum", 10, "a number from 0 to 1"),
    ("CTKD", "tau_init", 0, "a finite number above 0"),
    ("CTKD", "tau_lr", 0, "a finite number above 0"),
    ("CTKD", "tau_range", -20, "a finite number above 0"),
    ("MultiTemperature", "temperatures", [], "a list of numbers above 0"),
    ("MultiTemperature", "temperatures", 4.0, "a list of numbers above 0"),
]


@pytest.mark.parametrize(("name", "key", "value", "allowed"), REFUSED)
def test_what_is_refused(name: str, key: str, value: Any, allowed: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make(name, **{key: value})
    assert str(raised.value) == f"distill.{key}={shown(value)}: must be {allowed}"


def test_a_refusal_is_read_as_it_stands_through_hydra() -> None:
    config = {"_target_": "condenser.distill.MultiTemperature", "temperatures": [4, 0]}
    with pytest.raises(CondenserError, match=r"^distill.temperatures=0: must be a finite num"):
        build(config)


@pytest.mark.parametrize("config", ["dkd", "nkd", "dist", "kd_std"])
def test_two_classes_are_refused_by_name(config: str) -> None:
    name = CONFIGS[config]
    target, objective = torch.tensor([0, 1]), make(name)
    with pytest.raises(ConfigError) as raised:
        objective.setup(Multiclass(2), target)
    told = f"distill={config}: must be data of 3 classes or more, this has 2"
    assert str(raised.value) == f"{told}; use distill=kd"
    objective.setup(Multiclass(3), target)
    three = terms_of(objective, STUDENT[:2, :3], TEACHER[:2, :3], target)
    assert torch.isfinite(three["loss"])


def test_warm_up_raises_all_but_the_labels_in_a_straight_line() -> None:
    objective, plain = DKD(warmup=0.2), terms_of(DKD())
    soft = plain["target"] + 8 * plain["nontarget"]
    assert terms_of(objective)["loss"].item() == pytest.approx(plain["loss"].item())
    for done, ramp in ((0.0, 0.0), (0.05, 0.25), (0.1, 0.5), (0.2, 1.0), (0.9, 1.0), (0.05, 0.25)):
        objective.progress(done)
        expected = (plain["hard"] + ramp * soft).item()
        assert terms_of(objective)["loss"].item() == pytest.approx(expected, rel=1e-6), done
    cold = DKD(warmup=0.0)
    cold.progress(0.0)
    assert terms_of(cold)["loss"].item() == pytest.approx(plain["loss"].item())


def test_the_temperature_learns_to_make_it_harder() -> None:
    """What the student learns lowers its loss; what the temperature learns raises it."""
    objective = CTKD(curriculum=0.5)
    before = terms_of(objective)
    assert before["temperature"].item() == pytest.approx(1 + 20 / (1 + math.exp(-1)))
    objective.progress(0.0)
    terms_of(objective)["loss"].backward()
    assert objective.theta.grad is not None
    assert objective.theta.grad.item() == 0
    slopes = []
    for done in (0.125, 0.25, 0.5, 1.0):
        objective.theta.grad = None
        objective.progress(done)
        terms_of(objective)["loss"].backward()
        slopes.append(objective.theta.grad.item())
    curve = [(1 - math.sqrt(0.5)) / 2, 0.5, 1, 1]  # (1 - cos πp/c)/2
    assert slopes == pytest.approx([part * slopes[-1] for part in curve])
    torch.optim.SGD(objective.parameters(), lr=10.0).step()
    assert terms_of(objective)["soft"] > before["soft"]


def student_of(objective: Objective, optimizer: Any) -> Any:
    """A linear student of three classes, without a trainer."""
    data: Any = SimpleNamespace(num_classes=3, task=Multiclass(3), targets=torch.tensor([0, 1]))
    data.weighted_task = data.task
    data.train_size, data.example = 2, lambda count: torch.zeros(count, 4)
    plan = Plan(optimizer, 0.01, 2, 4, schedule=lambda done: 0.5)
    return Student(nn.Linear(4, 3), plan, data, objective)


def test_the_temperature_has_an_sgd_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever trains the student; on the student's schedule."""
    objective = CTKD(curriculum=0.0, tau_lr=0.2)
    module = student_of(objective, torch.optim.AdamW)
    module.optimizer, *module.others = module.configure_optimizers()
    trained = [p for group in module.optimizer.param_groups for p in group["params"]]
    assert len(trained) == 2 and all(p is not objective.theta for p in trained)
    monkeypatch.setattr(module, "manual_backward", Tensor.backward)
    monkeypatch.setattr(
        module, "terms", lambda b: terms_of(objective, module(b.image), b.image[:, :3], b.target)
    )
    module.total = 2
    module.train_on_batch(Batch(randn(4, 4, seed=1), torch.tensor([0, 1, 2, 0]), torch.arange(4)))
    slope = objective.theta.grad
    assert slope is not None and slope != 0
    assert objective.theta.item() == pytest.approx(1 - 0.1 * (slope.item() + 5e-4), rel=1e-6)
    assert KD().own_optimizer() is None


def test_relations_see_neither_scale_nor_shift() -> None:
    a, b = randn(4, 9, seed=5), randn(4, 9, seed=6)
    torch.testing.assert_close(pearson(3 * a + 7, b / 2 - 1), pearson(a, b), rtol=1e-4, atol=1e-5)
    expected = torch.stack(
        [torch.corrcoef(torch.stack(rows))[0, 1] for rows in zip(a, b, strict=True)]
    )
    torch.testing.assert_close(pearson(a, b), expected)


def test_a_student_that_says_the_same_of_all_is_not_thrown_about() -> None:
    """A zero-initialised last layer: the authors' correlation sends 1e8 back through it."""
    student = torch.zeros(16, 10, requires_grad=True)
    terms = terms_of(DIST(), student)
    terms["loss"].backward()
    assert terms["inter"].item() == terms["intra"].item() == 16
    assert student.grad is not None
    assert 0 < student.grad.abs().max() < 1


def test_the_module_tells_its_objective_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    objective = KD()
    monkeypatch.setattr(objective, "progress", told.append)
    module = student_of(objective, torch.optim.SGD)
    module.optimizer, module.total = torch.optim.SGD(module.model.parameters(), lr=0.1), 4
    monkeypatch.setattr(module, "manual_backward", Tensor.backward)
    monkeypatch.setattr(
        module, "terms", lambda b: terms_of(objective, module(b.image), b.image[:, :3], b.target)
    )
    batch = Batch(randn(4, 4, seed=1), torch.tensor([0, 1, 2, 0]), torch.arange(4))
    for _ in range(4):
        module.train_on_batch(batch)
    assert told == [0, 0.25, 0.5, 0.75]
    assert isinstance(objective, LogitObjective)
