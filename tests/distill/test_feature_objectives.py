"""Feature objectives: the authors' numbers, the laws of their definitions, and real networks."""

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
from condenser.capture import Capture
from condenser.config.instantiate import build
from condenser.distill import (
    AB,
    AT,
    CC,
    CRD,
    FSP,
    FT,
    KD,
    MGD,
    NST,
    OFA,
    PKT,
    RKD,
    SP,
    SRD,
    VID,
    WKDF,
    AdjacentCC,
    FeatureObjective,
    FitNet,
    InfoNCE,
    Labels,
    Objective,
    Outputs,
    ProjectorEnsemble,
    ReviewKD,
    Sum,
    VkD,
)
from condenser.errors import CondenserError, ConfigError
from condenser.functional.features import tokens_as_map
from condenser.functional.map_losses import pyramid
from condenser.functional.relation_losses import contrast
from condenser.tasks import Binary, Multiclass, Multilabel

Network = Callable[..., Any]


def golden(name: str) -> Any:
    return json.loads((GOLDENS / f"{name}.json").read_text())


GOLDEN = {case["name"]: case for case in golden("features")["cases"]}
CONFS = [
    path.stem for path in sorted((CONF / "distill").glob("*.yaml")) if "terms:" in path.read_text()
]

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
    "ft": FT,
    "wkd_f": WKDF,
    "mgd": lambda: MGD(masked=0.0),
}
VECTORS: dict[str, Callable[[], FeatureObjective]] = {
    "sp": SP,
    "rkd": RKD,
    "pkt": PKT,
    "cc": CC,
    "adjacent cc": lambda: AdjacentCC(dimensions=8),
    "infonce": lambda: InfoNCE(dimensions=8),
    "srd": SRD,
    "vkd": VkD,
    "projector ensemble": ProjectorEnsemble,
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
    objective.build_projectors(outputs(student), outputs(teacher))
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
    kind = getattr(condenser.distill, case["objective"])
    objective = connected(lambda: kind(**case["settings"]), student, teacher)
    if "orthogonal" in case:
        q, weight = torch.linalg.qr(wave(*case["orthogonal"]))[0], objective.projectors[0].weight
        objective.projectors[0].weight = (q if q.shape == weight.shape else q.T).float()
    else:
        fill(objective, case.get("parameters", {}))
    if "progress" in case:
        objective.progress(case["progress"])
    if "draw" in case:
        objective.draw = lambda _: (wave(*case["draw"]).float() + 1) / 2
    target = torch.tensor(case.get("target", [0] * len(student[0])))
    assert loss_of(objective, student, teacher, target).item() == pytest.approx(
        case["loss"], rel=1e-5
    )


def fill(objective: Objective, parameters: dict[str, list[float]]) -> None:
    """Give all its parameters the values that a golden file describes."""
    own = dict(objective.named_parameters())
    assert set(own) == set(parameters)
    for key, made in parameters.items():
        own[key].data = wave(list(own[key].shape), *made).float()


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
        if key.startswith(("encoders", "decoders")):  # a paraphraser that rests
            assert p.grad is None
            continue
        assert p.grad is not None and p.grad.isfinite().all(), key
        # A bias before a batch norm shifts nothing.
        shifts = key.endswith("bias") and name in ("ab", "fitnet", "srd", "wkd_f")
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
    factor = connected(FT, maps, maps)
    factor.translators.load_state_dict(factor.encoders.state_dict())
    assert loss_of(factor, maps, maps).item() == 0
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


def test_infonce_is_won_by_who_finds_his_own_and_strangers_of_his_class_do_not_count() -> None:
    vector, target = [normal(4, 8)], torch.tensor([0, 0, 1, 1])
    objective = connected(VECTORS["infonce"], vector, vector)
    objective.embed_teacher.load_state_dict(objective.embed_student.state_dict())
    found = loss_of(objective, vector, vector, target).item()
    assert found < loss_of(objective, [vector[0].flip(0)], vector, target).item() - 1
    assert loss_of(objective, vector, [normal(4, 8, seed=1)], torch.zeros(4)).item() == 0


def test_samples_of_the_same_labels_are_no_rivals_of_infonce() -> None:
    s, t = (torch.nn.functional.normalize(normal(6, 4, seed=i), dim=1) for i in (0, 1))
    classes, yes = torch.tensor([0, 1, 2, 0, 1, 1]), torch.tensor([0.0, 1, 1, 0, 1, 0])
    labels = torch.tensor([[0.0, 0], [0, 1], [1, 0], [0, 0], [0, 1], [0, 1]])
    expected = contrast(s, t, classes, 0.1)
    assert contrast(s, t, labels, 0.1).item() == expected.item()
    assert contrast(s, t, labels.flip(1), 0.1).item() == expected.item()
    assert contrast(s, t, yes[:, None], 0.1).item() == contrast(s, t, yes.long(), 0.1).item()
    assert contrast(s, t, yes[:, None], 0.1).item() != pytest.approx(expected.item())


def test_mgd_hides_whole_channels_by_chance() -> None:
    maps = [normal(8, 5, 4, 4)]
    objective = connected(lambda: MGD(masked=0.5), maps, maps)
    shown: list[Tensor] = []
    objective.generators[0].register_forward_pre_hook(lambda _, args: shown.append(args[0]))
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        loss_of(objective, maps, maps)
    kept = [(one != 0).flatten(2).float().mean(dim=2) for one in shown]
    assert torch.equal(kept[0], kept[1]) and not torch.equal(kept[0], kept[2])
    assert set(kept[0].unique().tolist()) == {0.0, 1.0} and 0.2 < kept[0].mean() < 0.8
    assert objective.stochastic


def test_vkd_projects_without_stretching() -> None:
    for ours, theirs in ((7, 11), (11, 7)):
        objective = connected(VkD, [normal(8, ours)], [normal(8, theirs)])
        moved = objective.projectors[0].parametrizations.weight.original
        moved.data += normal(*moved.shape).tril(-1)  # anywhere a step may lead
        w = objective.projectors[0].weight
        gram = w.T @ w if ours < theirs else w @ w.T
        torch.testing.assert_close(gram, torch.eye(7), atol=1e-5, rtol=0)


def test_a_paraphraser_learns_first_and_then_rests() -> None:
    student, teacher = (features("ft", seed)[1:] for seed in (0, 10))
    objective = connected(lambda: FT(paraphrase=0.25), student, teacher)
    maps = [student[0].requires_grad_()]
    for done, learns in ((0.0, True), (0.24, True), (0.25, False), (1.0, False)):
        objective.zero_grad()
        objective.progress(done)
        loss = loss_of(objective, maps, teacher)
        loss.backward()
        said = {key.split(".")[0] for key, p in objective.named_parameters() if p.grad is not None}
        assert said == ({"encoders", "decoders"} if learns else {"translators"})
        assert (maps[0].grad is None) == learns
    objective.progress(0)
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.02)
    teacher = [
        (f[:, :1] + torch.tensor([1.0, 2, -1, 3, 0, 1])[:, None, None]).relu() for f in teacher
    ]
    before = loss_of(objective, maps, teacher).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss_of(objective, maps, teacher).backward()
        optimizer.step()
    assert loss_of(objective, maps, teacher).item() < before / 2


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 12, (8, 6), (12, 7)])
def test_the_pyramid_is_that_of_the_map_itself(size: int | tuple[int, int]) -> None:
    height, width = size if isinstance(size, tuple) else (size, size)
    s, t = normal(3, 2, height, width), normal(3, 2, height, width, seed=1)
    losses, weights = [(s - t).square().mean()], [1.0]
    for side in (4, 2, 1):
        if side < min(height, width):
            a, b = (torch.nn.functional.adaptive_avg_pool2d(f, side) for f in (s, t))
            losses.append((a - b).square().mean())
            weights.append(weights[-1] / 2)
    expected = sum(w * x.item() for w, x in zip(weights, losses, strict=True)) / sum(weights)
    assert pyramid(s, t).item() == pytest.approx(expected, rel=1e-5)


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
        return Outputs(model(image), capture.take(), torch.arange(len(image)))


def meet(objective: Objective, student: nn.Module, teacher: nn.Module, image: Tensor) -> Outputs:
    """What the integration does once; returns the teacher's outputs."""
    objective.setup(Multiclass(10), TARGET)
    objective.select_layers(student, teacher, image[:1])
    own = Capture(student, objective.student_layers)
    given = Capture(teacher, objective.teacher_layers)
    with torch.no_grad():
        taught = look(teacher.eval(), given, image)
        objective.build_projectors(look(student.eval(), own, image), taught)
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
        with pytest.raises(ConfigError, match=r"distill.student_layers=fc\d: .* maps"):
            meet(objective, student, teacher, image)
    else:
        taught = meet(objective, student, teacher, image)
        own = look(student, Capture(student, objective.student_layers), image)
        assert objective(own, taught, TARGET)["loss"].requires_grad


def test_layers_that_are_named_are_taken(network: Network) -> None:
    student, teacher = network("resnet8", (3, 8, 8))[1], network("vgg8", (3, 8, 8))[1]
    objective = AT(student_layers=["layer2"], teacher_layers="layer4")
    objective.select_layers(student, teacher, normal(1, 3, 8, 8))
    assert (objective.student_layers, objective.teacher_layers) == (["layer2"], ["layer4"])
    objective = AT(student_layers=["layer1"])
    with pytest.raises(ConfigError, match=r"student_layers=\['layer1'\].*as many as"):
        objective.select_layers(student, teacher, normal(1, 3, 8, 8))


# Exits


def classified(
    settings: dict[str, Any], batch: int = 6, width: int = 0
) -> tuple[OFA, Outputs, Outputs, Tensor]:
    """An OFA with the parameters of golden/ofa.json, both sides' outputs, and the target."""
    case = golden("ofa")
    maps = [wave(*f).float()[:batch].requires_grad_() for f in case["student"]]
    logits, taught = (wave(*case[who]).float()[:batch] for who in ("logits", "taught"))
    objective = OFA(**settings)
    objective.width = width
    objective.student_layers = [f"layer{i}" for i in range(len(maps))]
    student = outputs(maps)._replace(logits=logits.requires_grad_())
    objective.build_projectors(student, Outputs(taught))
    fill(objective, case["parameters"])
    return (
        objective,
        student,
        Outputs(taught.requires_grad_()),
        torch.tensor(case["target"])[:batch],
    )


@pytest.mark.parametrize("case", golden("ofa")["cases"], ids=lambda case: str(case["settings"]))
def test_ofa_has_the_authors_numbers(case: dict[str, Any]) -> None:
    objective, student, teacher, target = classified(case["settings"], width=case.get("width", 0))
    terms = objective(student, teacher, target)
    for name in ("final", "exit_heads"):
        assert terms[name].item() == pytest.approx(case[name], rel=1e-5)
    assert terms["loss"].item() == pytest.approx(case["final"] + case["exit_heads"], rel=1e-5)
    terms["loss"].backward()
    assert teacher.logits.grad is None
    learnt = [student.logits, *student.features.values(), *objective.parameters()]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learnt)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    moved = {name: f[order] for name, f in student.features.items()}
    again = objective(
        Outputs(student.logits[order], moved), Outputs(teacher.logits[order]), target[order]
    )
    assert again["loss"].item() == pytest.approx(terms["loss"].item(), rel=1e-5)


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 1.5])
def test_ofa_is_least_where_the_student_says_what_is_wanted(epsilon: float) -> None:
    objective, _, teacher, target = classified({"epsilon": epsilon, "temperature": 2.0})
    own = torch.nn.functional.one_hot(target, 4)
    wanted = ((teacher.logits.detach() / 2).softmax(1) + own) ** epsilon - own
    objective.student_layers, objective.exit_heads = [], nn.ModuleList()
    logits = (2 * wanted.log() + 5).requires_grad_()
    objective(Outputs(logits), teacher, target)["loss"].backward()
    assert logits.grad is not None and logits.grad.abs().max() < 1e-6


def test_exit_heads_are_as_wide_as_the_wider_network(network: Network) -> None:
    student, teacher = network("mobilenet_v2", (3, 32, 32))[1], network("resnet8", (3, 32, 32))[1]
    for pair, width in (((student, teacher), 1280), ((teacher, student), 1280)):
        objective = OFA()
        meet(objective, *pair, normal(2, 3, 32, 32))
        assert [head[-1].in_features for head in objective.exit_heads] == [width] * len(
            objective.student_layers
        )


def test_exit_heads_are_silent_on_a_batch_of_one_and_finite_on_extremes() -> None:
    objective, student, teacher, target = classified({}, batch=1)
    terms = objective(student, teacher, target)
    assert terms["exit_heads"].item() == 0 and terms["loss"].item() == terms["final"].item()
    objective, student, teacher, target = classified({"epsilon": 1.5})
    for scale in (0, 1e4):
        own = Outputs(scale * student.logits, {n: scale * f for n, f in student.features.items()})
        loss = objective(own, Outputs(-scale * teacher.logits), target)["loss"]
        parts = [student.logits, *student.features.values()]
        assert loss.isfinite()
        assert all(g.isfinite().all() for g in torch.autograd.grad(loss, parts))
    low = Outputs(student.logits.bfloat16(), {n: f.bfloat16() for n, f in student.features.items()})
    assert objective.bfloat16()(low, teacher, target)["loss"].dtype == torch.float32


def transformer(classes: int = 10, layers: int = 3, image: int = 8) -> nn.Module:
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    return VisionTransformer(image, 2, layers, 2, 8, 16, num_classes=classes)


UNLIKE = [(name, "tokens") for name in [*MAPS, "sp", "ofa"]]
UNLIKE += [(name, "places") for name in ("at mean", "reviewkd", "ofa")]


@pytest.mark.parametrize(("name", "student_sees"), UNLIKE)
def test_convolutions_and_tokens_teach_each_other(
    network: Network, name: str, student_sees: str
) -> None:
    pair = [network("resnet8", (3, 8, 8))[1], transformer()]
    student, teacher = pair if student_sees == "places" else pair[::-1]
    before = set(student.state_dict())
    objective: Objective = OFA() if name == "ofa" else ALL[name]()
    image = normal(8, 3, 8, 8)
    taught = meet(objective, student, teacher, image)
    capture = Capture(student.train(), objective.student_layers)

    def loss() -> Tensor:
        return objective(look(student, capture, image), taught, TARGET)["loss"]

    first = loss()
    first.backward()
    learnt = [p for p in [*student.parameters(), *objective.parameters()] if p.grad is not None]
    size = torch.stack([p.grad.square().sum() for p in learnt]).sum().sqrt()  # type: ignore[union-attr]
    assert size.isfinite() and size > 0
    torch.optim.SGD(learnt, lr=0.003 / size.item()).step()
    assert loss() < first
    assert set(student.state_dict()) == before  # the exit heads are not a part of it


def test_tokens_are_laid_out_as_the_image_was() -> None:
    patches = torch.arange(12.0).reshape(1, 4, 3)
    expected = patches.reshape(1, 2, 2, 3).permute(0, 3, 1, 2)
    assert torch.equal(tokens_as_map(patches), expected)
    assert torch.equal(tokens_as_map(torch.cat([-patches[:, :1], patches], 1)), expected)
    objective = connected(AT, [normal(8, 5, 3)], [normal(8, 4, 4, 4)])
    assert loss_of(objective, [normal(8, 5, 3)], [normal(8, 4, 4, 4)]).isfinite()
    with pytest.raises(ConfigError, match=r"student_layers=layer0.*square image.*\(8, 6, 3\)"):
        connected(AT, [normal(8, 6, 3)], [normal(8, 4, 4, 4)])


def test_what_ofa_refuses() -> None:
    student, maps = outputs(features("at mean")), ["layer0"]
    with pytest.raises(ConfigError, match="distill=ofa: must be multiclass"):
        OFA().setup(Multilabel(4), torch.zeros(8, 4))
    with pytest.raises(ConfigError, match="4 outputs, this has 5 outputs"):
        OFA(student_layers=maps).build_projectors(student, Outputs(torch.zeros(8, 5)))
    odd = student._replace(features={"layer0": normal(8, 2, 3, 4, 5)})
    with pytest.raises(ConfigError, match="student_layers=layer0.*vectors, tokens or maps"):
        OFA(student_layers=maps).build_projectors(odd, student)


# A memory


def remembering(targets: Tensor, **settings: Any) -> CRD:
    """A CRD for student features (batch, 7) and teacher features (batch, 9)."""
    torch.manual_seed(0)
    objective = CRD(**({"dimensions": 4, "temperature": 0.2} | settings))
    objective.setup(Multiclass(10), targets)
    objective.student_layers = objective.teacher_layers = ["layer0"]
    objective.build_projectors(outputs([normal(8, 7)]), outputs([normal(8, 9)]))
    return objective


def remembered(objective: CRD, student: Tensor, teacher: Tensor, index: list[int]) -> Tensor:
    own = outputs([student])._replace(index=torch.tensor(index))
    return objective(own, outputs([teacher]), torch.zeros(len(index)))["loss"]


def test_crd_has_the_authors_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    case = golden("crd")
    objective = remembering(torch.tensor(case["targets"]), **case["settings"])
    fill(objective, case["parameters"])
    for memory, who in zip(objective.memories[0], ("student", "teacher"), strict=True):
        memory.rows.copy_(wave(*case["memory"][who]))
    for step in case["steps"]:
        monkeypatch.setattr(objective, "draw", lambda step=step: torch.tensor(step["drawn"]))
        student = wave(*step["student"]).float().requires_grad_()
        teacher = wave(*step["teacher"]).float().requires_grad_()
        loss = remembered(objective, student, teacher, step["index"])
        loss.backward()
        assert loss.item() == pytest.approx(step["loss"], rel=1e-5)
        assert student.grad is not None and teacher.grad is None
        assert student.grad.norm().item() == pytest.approx(step["gradient"], rel=1e-4)
        assert all(p.grad is not None and p.grad.any() for p in objective.parameters())


@pytest.mark.parametrize("labels", [False, True])
def test_rivals_from_the_memory_are_those_of_other_classes(labels: bool) -> None:
    """Against the definition in float64, where every sample is drawn: K > samples."""
    classes = torch.tensor([0, 0, 1, 2, 2, 2, 1, 0, 0, 0])
    rows = torch.tensor([[0.0, 1], [1, 0], [1, 1]])[classes]
    objective = remembering(rows if labels else classes, memory=1000)
    student, teacher, index = normal(3, 7), normal(3, 9, seed=1), [4, 0, 2]
    e_s = unit64(objective.embed_student[0], student)
    e_t = unit64(objective.embed_teacher[0], teacher)
    expected = 0.0
    for anchor, memory in zip((e_s, e_t), reversed(objective.memories[0]), strict=True):
        p = (anchor @ memory.rows.double().T / 0.2).exp()
        others = [[j for j in range(10) if classes[j] != classes[i]] for i in index]
        each = list(zip(p, index, others, strict=True))
        p = p / (10 * sum((q[i] + 1000 * q[j].mean()) / 1001 for q, i, j in each) / 3)
        for q, i, j in zip(p, index, others, strict=True):
            noise = 1000 / 10
            pair, rest = q[i] / (q[i] + noise), noise / (q[j] + noise)
            expected -= (pair.log() + 1000 * rest.log().mean()).item() / 3
    loss = remembered(objective, student, teacher, index)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def unit64(embedding: Any, feature: Tensor) -> Tensor:
    x = feature.double() @ embedding.weight.double().T + embedding.bias.double()
    return (x / x.norm(dim=1, keepdim=True)).detach()


def test_a_memory_is_drawn_from_by_chance_and_resumed_from_a_checkpoint() -> None:
    targets = torch.arange(40) % 4
    objective, other = remembering(targets, memory=16), remembering(targets, memory=16)
    draws = [objective.draw().tolist() for _ in range(200)]
    assert objective.stochastic and all(len(set(draw)) == 16 for draw in draws)
    times = torch.tensor(draws).flatten().bincount(minlength=40)  # 80 each, give or take 7
    assert times.min() > 50 and times.max() < 110
    batches = [(normal(8, 7, seed=s), normal(8, 9, seed=9 + s), s) for s in range(4)]

    def losses(objective: CRD, steps: range) -> list[float]:
        found = []
        for step in steps:
            student, teacher, start = batches[step]
            torch.manual_seed(step)
            index = list(range(8 * start, 8 * start + 8))
            found.append(remembered(objective, student, teacher, index).item())
        return found

    first = losses(objective, range(2))
    other.load_state_dict(objective.state_dict())
    memory = objective.memories[0][0]
    touched = (memory.rows != remembering(targets, memory=16).memories[0][0].rows).any(dim=1)
    assert touched.tolist() == [True] * 16 + [False] * 24
    assert memory.rows[:16].norm(dim=1).tolist() == pytest.approx([1.0] * 16)
    assert losses(objective, range(2, 4)) == losses(other, range(2, 4))
    assert losses(remembering(targets, memory=16), range(2)) == first
    assert not any(key.startswith("kind") for key in objective.state_dict())


def test_training_data_of_one_class_has_no_rivals() -> None:
    with pytest.raises(ConfigError, match=r"distill=crd.*2 classes"):
        CRD().setup(Binary(1), torch.ones(5, 1))


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


def test_a_term_counts_from_its_beginning_until_its_end() -> None:
    late = {"weight": 2.0, "begin": 0.5, "warmup": 0.25}
    whole = simple(first={"until": 0.5}, last={"until": 1.0}, late=late)
    for done, parts in ((0, (1, 1, 0)), (0.49, (1, 1, 0)), (0.5, (0, 1, 0)), (0.625, (0, 1, 1))):
        whole.progress(done)
        assert tuple(whole.term_weights().values()) == parts
    whole.progress(1.0)
    assert tuple(whole.term_weights().values()) == (0, 1, 2)


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
        (
            {"a": {"weight": 1.0, "begin": 0.5, "until": 0.5, "objective": Labels()}},
            ["terms.a.begin=0.5: must be below distill.terms.a.until=0.5"],
        ),
    ],
)
def test_what_a_sum_refuses(terms: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        Sum(terms)
    assert all(word in str(raised.value) for word in words)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AT(form="means"), ["distill.form=means", "mean, paper", "did you mean mean"]),
        (lambda: RKD(angle_weight=-1.0), ["distill.angle_weight=-1.0"]),
        (lambda: CC(order=0), ["distill.order=0"]),
        (lambda: CC(gamma=0.0), ["distill.gamma=0.0"]),
        (lambda: InfoNCE(temperature=0.0), ["distill.temperature=0.0"]),
        (lambda: InfoNCE(dimensions=0), ["distill.dimensions=0"]),
        (lambda: CRD(memory=0), ["distill.memory=0"]),
        (lambda: CRD(momentum=1.5), ["distill.momentum=1.5"]),
        (lambda: FT(factor_weight=-1.0), ["distill.factor_weight=-1.0"]),
        (lambda: FT(rate=0.0), ["distill.rate=0.0"]),
        (lambda: FT(paraphrase=2.0), ["distill.paraphrase=2.0"]),
        (lambda: OFA(epsilon=0.0), ["distill.epsilon=0.0"]),
        (lambda: OFA(temperature=-1.0), ["distill.temperature=-1.0"]),
        (lambda: AdjacentCC(dimensions=0), ["distill.dimensions=0"]),
        (lambda: SRD(exponent=0.5), ["distill.exponent=0.5"]),
        (lambda: AB(margin=0.0), ["distill.margin=0.0"]),
        (lambda: VID(variance=0.0), ["distill.variance=0.0"]),
        (lambda: WKDF(mean_weight=-1.0), ["distill.mean_weight=-1.0"]),
        (lambda: WKDF(decay=2.0), ["distill.decay=2.0"]),
        (lambda: MGD(masked=1.5), ["distill.masked=1.5"]),
        (lambda: ProjectorEnsemble(projectors=0), ["distill.projectors=0"]),
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
    return build(OmegaConf.to_container(OmegaConf.load(CONF / f"distill/{name}.yaml")))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CONFS)
def test_every_config_with_terms_teaches(network: Network, name: str) -> None:
    student, teacher = network("resnet8", (3, 8, 8))[1], network("wrn_16_1", (3, 8, 8))[1]
    objective, image = of_conf(name), normal(8, 3, 8, 8)
    taught = meet(objective, student, teacher, image)
    objective.progress(0.5)
    own = look(student, Capture(student, objective.student_layers), image)
    terms = objective(own, taught, TARGET)
    assert "loss" in terms and {"hard", "labels"} & set(terms)
    terms["loss"].backward()
    assert all(value.isfinite() for value in terms.values())
    assert all(p.grad is not None for p in student.parameters())


def test_the_configs_have_the_weights_of_the_table() -> None:
    """Tian et al. 2020, README of RepDistiller: -r 1 -a 0 -b β for each."""
    table = {"fitnet": 100, "at": 1000, "sp": 3000, "adjacent_cc": 0.02, "vid": 1, "rkd": 1}
    table |= {"pkt": 30000, "nst": 50, "crd": 0.8}
    table |= {"wkd_f": 0.08, "mgd": 7e-5, "projector_ensemble": 25, "srrl": 1}  # their own code
    for name, weight in table.items():
        objective = of_conf(name)
        assert objective.names == ["hard", name]
        assert objective.weights == [1.0, weight]


def test_the_error_of_a_config_is_a_sentence() -> None:
    config: Any = OmegaConf.to_container(OmegaConf.load(CONF / "distill/at.yaml"))
    config["terms"]["at"]["objective"]["form"] = "maen"
    with pytest.raises(CondenserError, match="distill.form=maen: unknown; did you mean mean"):
        build(config)
