"""Feature objectives: the authors' numbers, the laws of their definitions, and real networks."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from condenser.build import build
from condenser.capture import Capture
from condenser.distill import (
    AB,
    AT,
    CC,
    CRD,
    FSP,
    KD,
    NST,
    PKT,
    RKD,
    SP,
    SRD,
    VID,
    AdjacentCC,
    FeatureObjective,
    FitNet,
    Labels,
    Objective,
    Outputs,
    ReviewKD,
    Sum,
)
from condenser.errors import CondenserError, ConfigError

Network = Callable[..., Any]
HERE = Path(__file__).resolve().parent
GOLDEN = {
    case["name"]: case for case in json.loads((HERE / "golden/features.json").read_text())["cases"]
}
CONF = HERE.parent / "conf" / "distill"
CONFS = [path.stem for path in sorted(CONF.glob("*.yaml")) if "terms:" in path.read_text()]

MAPS: dict[str, Callable[[], FeatureObjective]] = {
    "at mean": lambda: AT("mean"),
    "at paper": lambda: AT("paper"),
    "nst": NST,
    "fsp": FSP,
    "ab": AB,
    "vid": VID,
    "fitnet": FitNet,
    "fitnet linear": lambda: FitNet(activation=False),
    "reviewkd": ReviewKD,
}
VECTORS: dict[str, Callable[[], FeatureObjective]] = {
    "sp": SP,
    "rkd": RKD,
    "pkt": PKT,
    "cc": CC,
    "adjacent cc": lambda: AdjacentCC(dimensions=8),
    "crd": lambda: CRD(dimensions=8),
    "srd": SRD,
}
ALL = MAPS | VECTORS
TARGET = torch.tensor([0, 1, 2, 0, 1, 3, 2, 2])


def wave(shape: list[int], a: float, b: float, scale: float = 1.0) -> Tensor:
    """What tests/golden/features.json calls a feature."""
    k = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    return (scale * torch.sin(a * k**1.5 + b)).view(shape)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def features(name: str, seed: int = 0, widths: tuple[int, int] = (5, 6)) -> list[Tensor]:
    """Two stages' maps for an objective of MAPS, a vector for one of VECTORS."""
    if name in VECTORS:
        return [normal(8, widths[0] + widths[1], seed=seed)]
    sizes = ((widths[0], 8, 8), (widths[1], 4, 4))
    return [normal(8, *size, seed=seed + i) for i, size in enumerate(sizes)]


def outputs(tensors: list[Tensor]) -> Outputs:
    logits = torch.zeros(len(tensors[0]), 4)
    return Outputs(logits, {f"layer{i}": tensor for i, tensor in enumerate(tensors)})


def connected(
    make: Callable[[], FeatureObjective], student: list[Tensor], teacher: list[Tensor]
) -> Any:
    """An objective for these features, its projectors the same each time."""
    torch.manual_seed(0)
    objective = make()
    objective.student_layers = [f"layer{i}" for i in range(len(student))]
    objective.teacher_layers = [f"layer{i}" for i in range(len(teacher))]
    objective.connect(outputs(student), outputs(teacher))
    return objective


def loss_of(
    objective: Objective, student: list[Tensor], teacher: list[Tensor], target: Tensor = TARGET
) -> Tensor:
    terms = objective(outputs(student), outputs(teacher), target[: len(student[0])])
    assert set(terms) == {"loss"}
    return terms["loss"]


@pytest.mark.parametrize("name", [name for name in GOLDEN if "settings" in GOLDEN[name]])
def test_the_authors_numbers(name: str) -> None:
    case = GOLDEN[name]
    student, teacher = ([wave(*f).float() for f in case[who]] for who in ("student", "teacher"))
    kind = {cls.__name__: cls for cls in FeatureObjective.__subclasses__()}[case["objective"]]
    objective = connected(lambda: kind(**case["settings"]), student, teacher)
    own = dict(objective.named_parameters())
    assert set(own) == set(case.get("parameters", {}))
    for key, made in case.get("parameters", {}).items():
        own[key].data = wave(list(own[key].shape), *made).float()
    target = torch.tensor(case.get("target", [0] * len(student[0])))
    assert loss_of(objective, student, teacher, target).item() == pytest.approx(
        case["loss"], rel=1e-5
    )


def test_vid_starts_at_the_authors_variance() -> None:
    scale = connected(VID, features("vid"), features("vid", 1)).scales[0]
    assert scale.tolist() == pytest.approx([GOLDEN["vid, scale at the start"]["loss"]] * 5)
    assert torch.nn.functional.softplus(scale)[0].item() + 1e-5 == pytest.approx(5.0)


# Laws


@pytest.mark.parametrize("name", list(ALL))
def test_no_gradient_to_the_teacher_and_some_to_all_the_rest(name: str) -> None:
    student = [f.requires_grad_() for f in features(name)]
    teacher = [f.requires_grad_() for f in features(name, 10, (6, 5))]
    objective = connected(ALL[name], student, teacher)
    loss_of(objective, student, teacher).backward()
    assert all(f.grad is None for f in teacher)
    assert all(f.grad is not None and f.grad.abs().sum() > 0 for f in student)
    for key, p in objective.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), key
        # A bias before a batch norm shifts nothing.
        shifts = key.endswith("bias") and name in ("ab", "fitnet", "srd")
        assert shifts or p.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", [name for name in ALL if name != "adjacent cc"])
def test_the_order_of_a_batch_does_not_matter(name: str) -> None:
    student, teacher = features(name), features(name, 10, (6, 5))
    objective, order = connected(ALL[name], student, teacher), normal(8).argsort()
    straight = loss_of(objective, student, teacher).item()
    own, given = ([f[order] for f in side] for side in (student, teacher))
    assert loss_of(objective, own, given, TARGET[order]).item() == pytest.approx(straight, rel=1e-4)
    apart = loss_of(objective, [f.roll(1, 0) for f in student], teacher).item()
    assert apart != pytest.approx(straight, rel=3e-5)


EQUAL = ["at mean", "at paper", "nst", "fsp", "sp", "rkd", "pkt", "cc"]


@pytest.mark.parametrize("name", EQUAL)
def test_nothing_is_left_to_learn_from_a_teacher_one_equals(name: str) -> None:
    student = [f.requires_grad_() for f in features(name)]
    teacher = [f.detach().clone() for f in student]
    objective = connected(ALL[name], student, teacher)
    loss = loss_of(objective, student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert all(f.grad is not None and f.grad.abs().max() < 1e-5 for f in student)
    assert loss_of(objective, student, features(name, 20)).item() > 1e-3


def test_projected_objectives_are_least_where_the_projector_reaches_the_teacher() -> None:
    vector, maps = [normal(8, 6)], [normal(8, 5, 4, 4)]
    srd = connected(SRD, vector, vector)
    nn.init.eye_(srd.projectors[0].weight), nn.init.zeros_(srd.projectors[0].bias)
    assert loss_of(srd, vector, vector).item() == pytest.approx(math.log(1e-5))
    hint = connected(ALL["fitnet linear"], maps, maps)
    nn.init.dirac_(hint.regressors[0][0].weight), nn.init.zeros_(hint.regressors[0][0].bias)
    assert loss_of(hint, maps, maps).item() == 0
    same = connected(VECTORS["adjacent cc"], vector, vector)
    same.embed_teacher.load_state_dict(same.embed_student.state_dict())
    assert loss_of(same, vector, vector).item() == 0
    boundary = connected(AB, maps, maps)
    beyond = [torch.where(f > 0, f + 1, f - 1) for f in maps]
    assert loss_of(boundary, beyond, maps).item() == 0
    assert loss_of(boundary, maps, maps).item() > 1


@pytest.mark.parametrize("name", ["at mean", "at paper", "nst", "sp", "rkd", "pkt", "cc"])
def test_what_is_normalised_has_no_scale(name: str) -> None:
    student, teacher = features(name), features(name, 10, (6, 5))
    objective = connected(ALL[name], student, teacher)
    scaled = loss_of(objective, [7 * f for f in student], [0.1 * f for f in teacher]).item()
    assert scaled == pytest.approx(loss_of(objective, student, teacher).item(), rel=1e-4)


def test_rkd_sees_neither_place_nor_direction() -> None:
    student, teacher = features("rkd"), features("rkd", 10)
    objective = connected(RKD, student, teacher)
    turn, _ = torch.linalg.qr(normal(11, 11, seed=3))
    moved = loss_of(objective, [student[0] @ turn + 2], teacher).item()
    assert moved == pytest.approx(loss_of(objective, student, teacher).item(), rel=1e-4)


def test_crd_is_won_by_who_finds_his_own_and_strangers_of_his_class_do_not_count() -> None:
    vector, target = [normal(4, 8)], torch.tensor([0, 0, 1, 1])
    objective = connected(VECTORS["crd"], vector, vector)
    objective.embed_teacher.load_state_dict(objective.embed_student.state_dict())
    found = loss_of(objective, vector, vector, target).item()
    assert found < loss_of(objective, [vector[0].flip(0)], vector, target).item() - 1
    assert loss_of(objective, vector, [normal(4, 8, seed=1)], torch.zeros(4)).item() == 0


EXTREME = {
    "large": lambda f: 1e4 * f,
    "one dead": lambda f: torch.cat([f[:1] * 0, f[1:]]),
    "all dead": lambda f: f * 0,
    "all alike": lambda f: f[:1].expand_as(f),
    "two alike": lambda f: torch.cat([f[:1], f[:1], f[2:]]),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", list(EXTREME))
@pytest.mark.parametrize("name", list(ALL))
def test_extreme_features_give_finite_losses_and_gradients(
    name: str, kind: str, dtype: torch.dtype
) -> None:
    student = [EXTREME[kind](f).to(dtype).requires_grad_() for f in features(name)]
    teacher = [f.to(dtype) for f in features(name, 10, (6, 5))]
    objective = connected(ALL[name], student, teacher)
    for own, given in ((student, teacher), (student, [EXTREME[kind](f) for f in teacher])):
        loss = loss_of(objective, own, given)
        gradients = torch.autograd.grad(loss, student)
        assert loss.isfinite()
        assert all(g.isfinite().all() for g in gradients)
        if kind != "large":  # nor 1e12, as where a direction is taken of nothing
            assert all(g.abs().max() < 1e4 for g in gradients)


@pytest.mark.parametrize("name", list(ALL))
def test_low_precision_is_computed_with_in_float32(name: str) -> None:
    student = [f.bfloat16() for f in features(name)]
    teacher = [f.bfloat16() for f in features(name, 10, (6, 5))]
    objective = connected(ALL[name], student, teacher)
    exact = loss_of(objective, [f.float() for f in student], [f.float() for f in teacher])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(objective, student, teacher)
    assert loss.dtype == torch.float32
    assert loss.item() == exact.item()
    pure = loss_of(objective.bfloat16(), student, teacher)  # as a trainer in bf16-true would
    assert pure.dtype == torch.float32 and pure.item() == pytest.approx(exact.item(), rel=0.02)


@pytest.mark.parametrize("name", list(ALL))
def test_a_batch_of_one_is_left_alone(name: str) -> None:
    student = [f[:1].requires_grad_() for f in features(name)]
    teacher = features(name, 10, (6, 5))
    objective = connected(ALL[name], features(name), teacher)
    loss = loss_of(objective, student, [f[:1] for f in teacher])
    loss.backward()
    assert loss.item() == 0
    assert all(f.grad is not None and not f.grad.any() for f in student)


@pytest.mark.parametrize("name", list(MAPS))
def test_maps_of_other_sizes_meet(name: str) -> None:
    student = features(name)
    for side in (2, 3, 4, 16):
        teacher = [normal(8, 7, 2 * side, 2 * side), normal(8, 6, side, side)]
        assert loss_of(connected(ALL[name], student, teacher), student, teacher).isfinite()


# Real networks


def look(model: nn.Module, capture: Capture, image: Tensor) -> Outputs:
    with capture:
        return Outputs(model(image), capture.take())


def meet(objective: Objective, student: nn.Module, teacher: nn.Module, image: Tensor) -> Outputs:
    """What the integration does once; returns the teacher's outputs."""
    objective.choose(student, teacher, image[:1])
    own = Capture(student, objective.student_layers)
    given = Capture(teacher, objective.teacher_layers)
    with torch.no_grad():
        taught = look(teacher.eval(), given, image)
        objective.connect(look(student.eval(), own, image), taught)
    return taught


PAIRS = [("resnet8", "wrn_16_1"), ("lenet5_tenth", "lenet5")]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.parametrize("name", list(ALL))
def test_one_step_on_a_batch_lowers_its_loss(
    network: Network, name: str, pair: tuple[str, str]
) -> None:
    image = normal(8, 3, 8, 8)
    student, teacher = (network(who, (3, 8, 8), seed=i)[1] for i, who in enumerate(pair))
    torch.manual_seed(0)
    objective = ALL[name]()
    taught = meet(objective, student, teacher, image)
    capture, student = Capture(student, objective.student_layers), student.train()

    def loss() -> Tensor:
        return objective(look(student, capture, image), taught, TARGET)["loss"]

    before = loss()
    before.backward()
    learnt = [p for p in [*student.parameters(), *objective.parameters()] if p.grad is not None]
    size = torch.stack([p.grad.square().sum() for p in learnt]).sum().sqrt()  # type: ignore[union-attr]
    assert size > 0
    torch.optim.SGD(learnt, lr=0.003 / size.item()).step()
    assert loss() < before


@pytest.mark.parametrize("name", list(ALL))
def test_networks_without_maps(network: Network, name: str) -> None:
    student, teacher = network("lenet_300_100", (1, 8, 8))[1], network("hinton_800", (1, 8, 8))[1]
    objective, image = ALL[name](), normal(8, 1, 8, 8)
    if objective.maps:
        with pytest.raises(ConfigError, match=r"distill.student_layers=fc1: .* maps"):
            meet(objective, student, teacher, image)
    else:
        taught = meet(objective, student, teacher, image)
        own = look(student, Capture(student, objective.student_layers), image)
        assert objective(own, taught, TARGET)["loss"].requires_grad


def test_layers_that_are_named_are_taken(network: Network) -> None:
    student, teacher = network("resnet8", (3, 8, 8))[1], network("vgg8", (3, 8, 8))[1]
    objective = AT(student_layers=["layer2"], teacher_layers="layer4")
    objective.choose(student, teacher, normal(1, 3, 8, 8))
    assert (objective.student_layers, objective.teacher_layers) == (["layer2"], ["layer4"])
    objective = AT(student_layers=["layer1", "layer2"])
    with pytest.raises(ConfigError, match=r"student_layers=\['layer1', 'layer2'\].*as many as"):
        objective.choose(student, teacher, normal(1, 3, 8, 8))


# Sums


def simple(**terms: Any) -> Sum:
    return Sum(
        {name: {"weight": 1.0, "objective": Labels()} | term for name, term in terms.items()}
    )


def test_a_sum_weighs_and_names_its_terms() -> None:
    student, teacher = features("at mean"), features("at mean", 10)
    at = connected(ALL["at mean"], student, teacher)
    kd = KD(temperature=4.0, alpha=0.0)
    own, given = (
        Outputs(normal(8, 4, seed=seed), outputs(side).features)
        for seed, side in ((1, student), (2, teacher))
    )
    whole = simple(
        hard={}, at={"weight": 1000.0, "objective": at}, kd={"weight": 0.5, "objective": kd}
    )
    terms = whole(own, given, TARGET)
    parts = {"hard": Labels(), "at": at, "kd": kd}
    alone = {name: part(own, given, TARGET)["loss"].item() for name, part in parts.items()}
    assert {name: terms[name].item() for name in alone} == pytest.approx(alone)
    expected = alone["hard"] + 1000 * alone["at"] + 0.5 * alone["kd"]
    assert terms["loss"].item() == pytest.approx(expected)
    assert set(terms) == {"loss", "hard", "at", "kd", "kd/hard", "kd/soft"}
    assert terms["kd/soft"].item() == pytest.approx(alone["kd"])
    assert whole.student_layers == whole.teacher_layers == ["layer0", "layer1"]


def test_a_sum_connects_and_trains_what_its_terms_own(network: Network) -> None:
    student, teacher = network("resnet8", (3, 16, 16))[1], network("wrn_16_1", (3, 16, 16))[1]
    image = normal(8, 3, 16, 16)
    whole = simple(vid={"objective": VID()}, srd={"objective": SRD()}, at={"objective": AT()})
    taught = meet(whole, student, teacher, image)
    assert whole.student_layers == ["layer1", "layer2", "layer3", "fc:input"]
    own = look(student, Capture(student, whole.student_layers), image)
    whole(own, taught, TARGET)["loss"].backward()
    owned = list(whole.parameters())
    assert len(owned) == 3 * 3 + 3 + 2
    assert all(p.grad is not None for p in owned)


def test_a_term_warms_up_and_its_objective_is_told_of_progress() -> None:
    told: list[float] = []

    class Told(Labels):
        def progress(self, done: float) -> None:
            told.append(done)

    whole = simple(a={"weight": 2.0, "warmup": 0.25}, b={"objective": Told()})
    own = Outputs(normal(8, 4))
    for done, factor in ((0.0, 0.0), (0.125, 1.0), (0.25, 2.0), (1.0, 2.0)):
        whole.progress(done)
        terms = whole(own, None, TARGET)
        expected = (factor + 1) * terms["b"].item()
        assert terms["loss"].item() == pytest.approx(expected)
    assert told == [0.0, 0.125, 0.25, 1.0]


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({}, ["distill.terms=[]"]),
        ({"loss": {"weight": 1.0, "objective": Labels()}}, ["distill.terms", "not loss"]),
        ({"a": {"weight": -1.0, "objective": Labels()}}, ["distill.terms.a.weight=-1.0"]),
        ({"a": {"weight": 1.0}}, ["distill.terms.a", "objective"]),
        ({"a": {"wieght": 1.0, "objective": Labels()}}, ["distill.terms.a", "weight"]),
        ({"a": {"weight": 1.0, "objective": "kd"}}, ["distill.terms.a.objective=kd"]),
        ({"a": {"weight": 1.0, "warmup": 2.0, "objective": Labels()}}, ["terms.a.warmup=2.0"]),
    ],
)
def test_what_a_sum_refuses(terms: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        Sum(terms)
    assert all(word in str(raised.value) for word in words)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AT(form="means"), ["distill.form=means", "mean, paper", "did you mean 'mean'"]),
        (lambda: RKD(angle_weight=-1.0), ["distill.angle_weight=-1.0"]),
        (lambda: CC(order=0), ["distill.order=0"]),
        (lambda: CC(gamma=0.0), ["distill.gamma=0.0"]),
        (lambda: CRD(temperature=0.0), ["distill.temperature=0.0"]),
        (lambda: CRD(dimensions=0), ["distill.dimensions=0"]),
        (lambda: AdjacentCC(dimensions=0), ["distill.dimensions=0"]),
        (lambda: SRD(exponent=0.5), ["distill.exponent=0.5"]),
        (lambda: AB(margin=0.0), ["distill.margin=0.0"]),
        (lambda: VID(variance=0.0), ["distill.variance=0.0"]),
    ],
)
def test_what_objectives_refuse(make: Callable[[], Objective], words: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        make()
    assert all(word in str(raised.value) for word in words)


def test_flows_need_two_stages() -> None:
    maps = features("fsp")[:1]
    with pytest.raises(ConfigError, match="two layers"):
        connected(FSP, maps, maps)


# Configs


def of_conf(name: str) -> Any:
    return build(OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml")))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CONFS)
def test_every_config_with_terms_teaches(network: Network, name: str) -> None:
    student, teacher = network("resnet8", (3, 8, 8))[1], network("wrn_16_1", (3, 8, 8))[1]
    objective, image = of_conf(name), normal(8, 3, 8, 8)
    taught = meet(objective, student, teacher, image)
    objective.progress(0.5)
    own = look(student, Capture(student, objective.student_layers), image)
    terms = objective(own, taught, TARGET)
    assert {"loss", "hard"} < set(terms)
    terms["loss"].backward()
    assert all(value.isfinite() for value in terms.values())
    assert all(p.grad is not None for p in student.parameters())


def test_the_configs_have_the_weights_of_the_table() -> None:
    """Tian et al. 2020, README of RepDistiller: -r 1 -a 0 -b β for each."""
    table = {"fitnet": 100, "at": 1000, "sp": 3000, "adjacent_cc": 0.02, "vid": 1, "rkd": 1}
    table |= {"pkt": 30000, "nst": 50, "crd": 0.8}
    for name, weight in table.items():
        objective = of_conf(name)
        assert objective.names == ["hard", name]
        assert objective.weights == [1.0, weight]


def test_the_error_of_a_config_is_a_sentence() -> None:
    config: Any = OmegaConf.to_container(OmegaConf.load(CONF / "at.yaml"))
    config["terms"]["at"]["objective"]["form"] = "maen"
    with pytest.raises(CondenserError, match="distill.form=maen: allowed is one of mean, paper"):
        build(config)
