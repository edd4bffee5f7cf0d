"""Objectives that use a network's classifier or random numbers: numbers of their authors, laws."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from places import CONF, GOLDENS
from torch import Tensor, nn

import condenser.distill
from condenser.capture import Capture, classifier_of, pooled_classifier_of
from condenser.config.instantiate import build
from condenser.data import HorizontalFlip
from condenser.distill import (
    CATKD,
    DIST,
    KD,
    MLKD,
    SDD,
    SRRL,
    WKDL,
    LogitObjective,
    Objective,
    Outputs,
    Sum,
)
from condenser.distill import TeKAP as Tekap
from condenser.errors import CondenserError, ConfigError
from condenser.tasks import Multiclass

GOLDEN = json.loads((GOLDENS / "literature.json").read_text())
TARGET = torch.tensor(GOLDEN["target"])
Network = Callable[..., Any]
CONFIGS = ("cat_kd", "sdd", "srrl", "tekap", "wkd_l")


def wave(shape: list[int], a: float, b: float, scale: float = 1.0) -> Tensor:
    k = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    return (scale * torch.sin(a * k**1.5 + b)).view(shape).float()


class End(nn.Module):
    """The end of a network: its last map, the golden one, then mean and classifier."""

    def __init__(self, who: str, seen: list[Any] | None = None, linear: Any = None) -> None:
        super().__init__()
        self.map = nn.Parameter(wave(*(seen or GOLDEN["maps"][who])))
        weight, bias = (wave(*v) for v in (linear or GOLDEN["linear"][who]))
        self.body, self.pool = nn.Identity(), nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(*weight.shape[::-1])
        self.fc.weight.data, self.fc.bias.data = weight, bias

    def forward(self, image: Tensor) -> Tensor:
        return self.fc(self.pool(self.body(self.map)).flatten(1))


def outputs(network: nn.Module, layers: Any, image: Tensor) -> Outputs:
    with Capture(network, layers) as capture:
        return Outputs(network(image), capture.take())


def ends(objective: Objective) -> tuple[End, Callable[[], dict[str, Tensor]]]:
    """The student, and the terms of what it says beside the golden teacher."""
    student, teacher, image = End("student"), End("teacher"), torch.zeros(6, 1, 2, 2)
    objective.setup(Multiclass(4), TARGET)
    objective.select_layers(student, teacher, image)
    taught = outputs(teacher, objective.teacher_layers, image)
    objective.build_projectors(outputs(student, objective.student_layers, image), taught)
    return student, lambda: objective(
        outputs(student, objective.student_layers, image), taught, TARGET
    )


def agree(objective: Objective, case: dict[str, Any], fill: Any = None) -> None:
    student, terms = ends(objective)
    for name, p in objective.named_parameters() if fill else ():
        p.data = wave(list(p.shape), *fill[name])
    loss = terms()["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(case["loss"], rel=1e-5)
    assert student.map.grad is not None
    assert student.map.grad.norm().item() == pytest.approx(case["gradient"], rel=1e-4)


@pytest.mark.parametrize("case", GOLDEN["sdd"]["cases"], ids=lambda c: f"{c['objective']}")
def test_sdd_has_the_authors_numbers(case: dict[str, Any]) -> None:
    inner = getattr(condenser.distill, case["objective"])(**case["settings"])
    agree(SDD(inner, scales=case["scales"]), case)


@pytest.mark.parametrize("case", GOLDEN["cat_kd"]["cases"], ids=lambda c: str(c["settings"]))
def test_cat_kd_has_the_authors_numbers(case: dict[str, Any]) -> None:
    agree(CATKD(**case["settings"]), case)


def test_srrl_has_the_authors_numbers() -> None:
    case = GOLDEN["srrl"]
    agree(SRRL(), case, case["parameters"])


def logit_terms(objective: LogitObjective) -> tuple[Tensor, dict[str, Tensor]]:
    objective.select_layers(End("student"), End("teacher"), torch.zeros(6, 1, 2, 2))
    student = wave(*GOLDEN["logits"]).requires_grad_()
    return student, objective(Outputs(student), Outputs(wave(*GOLDEN["taught"])), TARGET)


@pytest.mark.parametrize("case", GOLDEN["wkd_l"]["cases"], ids=["start", "late"])
def test_wkd_l_has_the_authors_numbers(case: dict[str, Any]) -> None:
    objective = WKDL(**case["settings"])
    objective.progress(case["progress"])
    student, terms = logit_terms(objective)
    terms["loss"].backward()
    assert terms["loss"].item() == pytest.approx(case["loss"], rel=1e-5)
    if "gradient" in case:
        assert student.grad is not None
        assert student.grad.norm().item() == pytest.approx(case["gradient"], rel=1e-4)


def test_tekap_has_the_authors_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    case, objective = GOLDEN["tekap"], Tekap()
    monkeypatch.setattr(objective, "draw", lambda _: wave(*case["draw"]))
    student, terms = logit_terms(objective)
    terms["loss"].backward()
    assert terms["loss"].item() == pytest.approx(case["loss"], rel=1e-5)
    assert student.grad is not None
    assert student.grad.norm().item() == pytest.approx(case["gradient"], rel=1e-4)


def two_views(objective: MLKD) -> tuple[list[Tensor], dict[str, Tensor]]:
    case = GOLDEN["mlkd"]
    student = [wave(*v).requires_grad_() for v in (GOLDEN["logits"], case["strong"])]
    taught = [wave(*v) for v in (GOLDEN["taught"], case["strong_taught"])]
    own, given = (Outputs(weak, strong=strong) for weak, strong in (student, taught))
    return student, objective(own, given, TARGET)


def test_mlkd_has_the_authors_numbers() -> None:
    case = GOLDEN["mlkd"]
    views, terms = two_views(MLKD())
    terms["loss"].backward()
    for name, value in (case["terms"] | {"loss": case["loss"]}).items():
        assert terms[name].item() == pytest.approx(value, rel=1e-5), name
    sizes = [view.grad.norm().item() for view in views if view.grad is not None]
    assert sizes == pytest.approx(case["gradient"], rel=1e-4)


def test_mlkd_wants_a_second_view() -> None:
    whole = Sum({"mlkd": {"weight": 1.0, "objective": MLKD()}})
    for objective in (MLKD(), whole):
        with pytest.raises(ConfigError, match=r"data.strong=null: must be a list of aug.*=mlkd"):
            objective.require(())
        objective.require((HorizontalFlip(),))
    KD().require(())
    with pytest.raises(ConfigError, match=r"data.mix=.*: must be null with distill=mlkd"):
        MLKD().refuse("mixup")


# Laws


def test_mass_moved_to_a_class_alike_costs_less() -> None:
    """Classes 0 and 1 have the same direction in the teacher's classifier, 2 and 3 others."""
    rows = torch.tensor([[1.0, 0, 0], [1, 0.1, 0], [0, 1, 0], [0, 0, 1]])
    teacher = End("teacher", linear=GOLDEN["linear"]["teacher"])
    teacher.fc.weight.data[:, 3:] = 0
    teacher.fc.weight.data[:, :3] = rows
    objective = WKDL(temperature=1.0)
    objective.select_layers(teacher, teacher, torch.zeros(6, 1, 2, 2))
    sure = 8 * torch.eye(4)
    label = torch.tensor([3])

    def moved(student: int, taught: int) -> float:
        own, given = Outputs(sure[student][None]), Outputs(sure[taught][None])
        return objective(own, given, label)["transport"].item()

    assert max(moved(0, 0), moved(2, 2)) < 1e-4
    assert moved(0, 1) < 0.1 * moved(0, 2)


def test_tekap_draws_anew_each_step_and_is_kd_without_noise() -> None:
    objective, quiet, kd = Tekap(), Tekap(noise=0.0, perspective_weight=0.5), KD(4.0, 0.1)
    assert objective.stochastic
    torch.manual_seed(0)
    first, second = (logit_terms(objective)[1]["perspective"].item() for _ in range(2))
    torch.manual_seed(0)
    assert logit_terms(objective)[1]["perspective"].item() == first != second
    soft = logit_terms(kd)[1]["soft"].item()
    terms = logit_terms(quiet)[1]
    assert terms["perspective"].item() == pytest.approx(3 * soft, rel=1e-5)
    assert terms["loss"].item() == pytest.approx(
        0.1 * terms["hard"].item() + 0.9 * (1 + 1.5) * soft, rel=1e-5
    )


def test_regions_of_one_by_one_are_the_objective_itself() -> None:
    student, terms = ends(SDD(KD(2.0, 0.3), scales=[1]))
    teacher, image = End("teacher"), torch.zeros(6, 1, 2, 2)
    expected = KD(2.0, 0.3)(Outputs(student(image)), Outputs(teacher(image)), TARGET)
    assert terms()["loss"].item() == pytest.approx(expected["loss"].item(), rel=1e-5)


def test_the_mean_of_activation_maps_is_the_logits_but_for_the_bias() -> None:
    student, _ = ends(objective := CATKD(side=2))
    maps = objective.attention(student.map, student.fc.weight)
    logits = student(torch.zeros(6, 1, 2, 2))
    torch.testing.assert_close(maps.mean(dim=2) + student.fc.bias, logits)


def test_where_a_network_is_classified(network: Network) -> None:
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    widths = {"resnet8": 64, "wrn_16_1": 64, "vgg8": 512, "mobilenet_v2": 1280}
    for name, width in (widths | {"shufflenet_v2": 1024}).items():
        model = network(name, (3, 32, 32))[1].eval()
        found = pooled_classifier_of(model, image)
        with Capture(model, [found.layer]) as capture, torch.no_grad():
            logits, seen = model(image), capture.take()[found.layer]
        assert seen.shape[1] == width and seen.dim() == 4, name
        torch.testing.assert_close(found.linear(seen.mean(dim=(2, 3))), logits, msg=name)
        assert classifier_of(model, image).linear is found.linear
    flat = network("lenet5", (3, 32, 32))[1]
    with pytest.raises(CondenserError, match="LeNet5: no map is averaged"):
        pooled_classifier_of(flat, image)
    with pytest.raises(CondenserError, match="its logits are not what its last linear"):
        classifier_of(nn.Sequential(nn.Flatten(), nn.Linear(3072, 4), nn.ReLU()), image)


def of_conf(name: str) -> Any:
    return build(OmegaConf.to_container(OmegaConf.load(CONF / f"distill/{name}.yaml")))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_configs_teach_real_networks(network: Network, name: str, dtype: torch.dtype) -> None:
    image = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    target = torch.arange(8) % 4
    student, teacher = network("resnet8", (3, 8, 8))[1], network("wrn_16_1", (3, 8, 8))[1].eval()
    before = set(student.state_dict())
    objective = of_conf(name)
    objective.setup(Multiclass(10), target)
    objective.select_layers(student, teacher, image)
    with torch.no_grad():
        taught = outputs(teacher, objective.teacher_layers, image)
        own = outputs(student.eval(), objective.student_layers, image)
        objective.build_projectors(own, taught)
    objective.progress(0.5)
    student.train().to(dtype)
    objective.to(dtype)

    def loss() -> Tensor:
        torch.manual_seed(0)
        own = outputs(student, objective.student_layers, image.to(dtype))
        return objective(own, taught, target)["loss"]

    first = loss()
    first.backward()
    assert first.dtype == torch.float32
    learnt = [p for p in [*student.parameters(), *objective.parameters()] if p.grad is not None]
    assert {id(p) for p in student.parameters()} <= {id(p) for p in learnt}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learnt)
    assert all(p.grad is None for p in teacher.parameters())
    assert not {id(p) for p in student.parameters()} & {id(p) for p in objective.parameters()}
    assert set(student.state_dict()) == before
    assert all(".connector." in key for key in objective.state_dict())  # no teacher in it
    if dtype == torch.float32:
        size = torch.stack([p.grad.square().sum() for p in learnt]).sum().sqrt()  # type: ignore[union-attr]
        torch.optim.SGD(learnt, lr=0.003 / size.item()).step()
        assert loss() < first


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SDD(DIST()), "distill.base=DIST: must be an objective on the logits"),
        (lambda: SDD(KD(), scales=[2]), r"distill.scales=\[2\]: must be a list that begins with 1"),
        (lambda: SDD(KD(), complementary_weight=-1), "distill.complementary_weight=-1"),
        (lambda: CATKD(side=0), "distill.side=0"),
        (lambda: SRRL(logit_weight=-1.0), "distill.logit_weight=-1.0"),
        (lambda: Tekap(noise=1.5), "distill.noise=1.5"),
        (lambda: Tekap(perspectives=0), "distill.perspectives=0"),
        (lambda: WKDL(entropy=0.0), "distill.entropy=0.0"),
        (lambda: WKDL(transport_weight=-1.0), "distill.transport_weight=-1.0"),
        (lambda: WKDL(iterations=0), "distill.iterations=0"),
    ],
)
def test_what_is_refused(make: Callable[[], Objective], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


def test_extreme_logits_leave_the_transport_finite() -> None:
    objective = WKDL()
    objective.select_layers(End("student"), End("teacher"), torch.zeros(6, 1, 2, 2))
    far = 1e4 * torch.tensor([[1.0, -1, 0, 0.5], [-1, -1, -1, 1], [0, 0, 0, 0], [1, 1, -1, -1]])
    for taught in (far.flip(1), far, -far, 0 * far):
        student = far.clone().requires_grad_()
        loss = objective(Outputs(student), Outputs(taught), torch.tensor([1, 0, 2, 3]))["loss"]
        loss.backward()
        assert loss.isfinite() and student.grad is not None and student.grad.isfinite().all()
