"""Repair without training: each layer's outputs as near to what they were as its weights can be."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from running import run_in
from torch import Tensor, nn
from torch.nn import functional

from condenser.compress.channels.operations import KeptChannels
from condenser.compress.repair import Repair, reconstruction, repair
from condenser.errors import ConfigError

BARE = Repair(256, batch_norms=False, bias=False)


def images(n: int = 40) -> Tensor:
    return torch.randn(n, 2, 6, 6, generator=torch.Generator().manual_seed(3))


def net(groups: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, stride=2, padding=1, groups=groups, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(54, 4),
    ).eval()


def test_what_reads_a_cut_layer_is_refitted_as_numpy_would() -> None:
    before = net()
    cut = KeptChannels({"0": {"out": "0,2,5"}, "2": {"in": "0,2,5"}})
    model = copy.deepcopy(before)
    cut.apply(model)
    start = copy.deepcopy(model)
    facts = repair(model, before, images(), [cut], [], BARE, [cut])
    assert torch.allclose(model[0].weight, start[0].weight, atol=1e-6)  # nothing above it changed

    # stride 2 and padding 1: 9 positions an image, all of them looked at
    with torch.no_grad():
        x = functional.unfold(start[:2](images()), 3, padding=1, stride=2)
        y = before[:3](images()).flatten(2)
    x64 = x.permute(0, 2, 1).reshape(-1, 27).double().numpy()
    w64 = start[2].weight.detach().flatten(1).double().numpy()
    lacking = y.permute(0, 2, 1).reshape(-1, 6).double().numpy() - x64 @ w64.T
    ridge = reconstruction.RIDGE * (x64**2).sum(0).mean()
    step = np.linalg.solve(x64.T @ x64 + ridge * np.eye(27), x64.T @ lacking)
    wanted = (w64 + step.T).reshape(model[2].weight.shape)
    np.testing.assert_allclose(model[2].weight.detach().numpy(), wanted, atol=1e-4)
    assert facts["error"] < facts["error_before"]


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_zeros_stay_and_the_outputs_are_nearer(groups: int) -> None:
    before = net(groups)
    model = copy.deepcopy(before)
    with torch.no_grad():
        for layer in (model[0], model[2], model[6]):
            layer.weight[layer.weight.abs() < layer.weight.abs().median()] = 0
    zeros = [model[n].weight == 0 for n in (0, 2, 6)]
    facts = repair(model, before, images(), [], [], BARE)
    assert all(bool((model[n].weight[z] == 0).all()) for n, z in zip((0, 2, 6), zeros, strict=True))
    assert facts["error"] < 0.5 * facts["error_before"] and facts["layers"] == 3


def test_batch_norms_are_measured_anew() -> None:
    before = net()
    model = copy.deepcopy(before)
    with torch.no_grad():
        model[2].weight.mul_(3)
    repair(model, before, images(), [], [], Repair(256, least_squares=False, bias=False))
    with torch.no_grad():
        y = model[:3](images()).movedim(1, 0).flatten(1).double().numpy()
    np.testing.assert_allclose(model[3].running_mean, y.mean(1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model[3].running_var, y.var(1, ddof=1), rtol=1e-4)


def test_a_bias_takes_back_what_its_channels_mean_has_moved() -> None:
    before = net()
    model = copy.deepcopy(before)
    with torch.no_grad():
        model[6].weight.mul_(1.2)
    how = Repair(256, least_squares=False, batch_norms=False)
    repair(model, before, images(), [], [], how)
    with torch.no_grad():
        wanted, got = before(images()).mean(0), model(images()).mean(0)
    assert torch.allclose(wanted, got, atol=1e-5)


def test_a_layer_called_twice_is_fitted_to_both_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.fc, self.out = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.out(torch.relu(self.fc(torch.relu(self.fc(x)))))
            return out

    before = Twice().eval()
    model = copy.deepcopy(before)
    with torch.no_grad():
        model.fc.weight[:, :4] = 0
    facts = repair(model, before, torch.randn(64, 8), [], [], BARE)
    assert facts["error"] < facts["error_before"] and facts["layers"] == 2


STAGES: dict[str, Any] = {
    "cut": "recipe.stages=[teacher,cut]",
    "prune": "recipe.stages=[teacher,{prune:{rate:0.5}}]",
    "merge": "recipe.stages=[teacher,merge]",
    "factorize": "recipe.stages=[teacher,{factorize:{params:0.3}}]",
    "share": "recipe.stages=[teacher,{share:{bits:2}}]",
}


@pytest.mark.parametrize("word", STAGES)
def test_recipe_post_repairs_each_kind_of_step_and_trains_nothing(tmp_path: Any, word: str) -> None:
    words = ("recipe=post", "model@teacher.model=lenet5_tenth", STAGES[word])
    own = (*words, f"{word}.epochs=0")  # debug=fast has an epoch of each
    found = run_in(tmp_path, *own)
    assert found[1]["cost/epochs"] is None
    before, after = found[1][f"{word}/repair/error_before"], found[1][f"{word}/repair/error"]
    assert after < before
    if word == "cut":
        plain = run_in(tmp_path, *own, "cut.repair.images=0", run="plain")
        assert plain[1]["key"] != found[1]["key"] and "cut/repair/images" not in plain[1]
        with pytest.raises(ConfigError, match=r"cut.repair.images=256: must be 0 where cut trains"):
            run_in(tmp_path, *words)
