"""Transformers on token ids: what they may look at, what padding is, what can be cut of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from places import CONF
from torch import Tensor, nn

from condenser.compress.blocks.residual import removable
from condenser.compress.channels import CutHeads
from condenser.compress.channels.graph import channel_groups
from condenser.compress.channels.projections import projected_heads
from condenser.errors import ConfigError
from condenser.models import CausalTransformer, Translator, weights
from condenser.models.transformer import rotated

IDS, BATCH, LENGTH = 11, 3, 7
SMALL: dict[str, Any] = {"width": 16, "heads": 2, "layers": 2, "dropout": 0.0}
KINDS = pytest.mark.parametrize("kind", [CausalTransformer, Translator])


def ids(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(4, IDS, shape, generator=torch.Generator().manual_seed(seed))


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model = kind(IDS, **SMALL).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # far from the small first weights
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def given(kind: type[nn.Module]) -> Tensor:
    return ids(BATCH, LENGTH) if kind is CausalTransformer else ids(BATCH, 2, LENGTH)


@KINDS
@torch.no_grad()
def test_a_later_token_changes_no_earlier_logit(kind: type[nn.Module]) -> None:
    model, x = made(kind), given(kind)
    before = model(x)
    for place in range(LENGTH):
        other = x.clone()
        own = other if kind is CausalTransformer else other[:, 1]
        own[:, place] = (own[:, place] - 3) % (IDS - 4) + 4
        changed = (model(other) - before).abs().amax((0, 2)) > 1e-5
        assert changed.tolist() == [False] * place + [True] * (LENGTH - place)


@KINDS
@torch.no_grad()
def test_padding_and_the_rest_of_the_batch_change_nothing(kind: type[nn.Module]) -> None:
    model, x = made(kind), given(kind)
    before = model(x)
    padded = model(nn.functional.pad(x, (0, 5)))[:, :LENGTH]
    torch.testing.assert_close(padded, before)
    torch.testing.assert_close(model(x[[2, 0, 1]])[[1, 2, 0]], before)
    torch.testing.assert_close(model(x[:1]), before[:1])


@torch.no_grad()
def test_a_translator_reads_all_of_the_source_and_no_padding() -> None:
    model, x = made(Translator), given(Translator)
    before = model(x)
    for place in range(LENGTH):
        other = x.clone()
        other[:, 0, place] = (other[:, 0, place] - 3) % (IDS - 4) + 4
        assert ((model(other) - before).abs().amax(2) > 1e-6).all()
    nothing = x.clone()
    nothing[:, 0] = 0
    assert model(nothing).isfinite().all()


@torch.no_grad()
def test_positions_are_relative() -> None:
    """q·k of two rotated vectors depends on how far apart they stand, and |q| stays."""
    q, k = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(0))
    near = rotated(q, 3) @ rotated(k, 5).T
    torch.testing.assert_close(near, rotated(q, 40) @ rotated(k, 42).T, rtol=1e-4, atol=1e-5)
    assert abs(near - rotated(q, 3) @ rotated(k, 6).T) > 1e-3
    torch.testing.assert_close(rotated(q, 9).norm(), q.norm())
    torch.testing.assert_close(rotated(q.repeat(4, 1), 2)[3:], rotated(q, 5))
    a, b = rotated(torch.tensor([[1.0, 0.0]]), 2)[0].tolist()
    assert (a, b) == pytest.approx((math.cos(2), math.sin(2)))


@KINDS
def test_the_head_is_the_embedding_and_is_kept_once(kind: type[nn.Module]) -> None:
    model: Any = made(kind)
    assert model.head.weight is model.embedding.weight
    state = weights.kept(model)
    assert "head.weight" not in state
    again = kind(IDS, **SMALL).eval()
    weights.fill(again, state)
    torch.testing.assert_close(again(given(kind)), model(given(kind)), rtol=0, atol=0)


@KINDS
def test_heads_and_hidden_units_can_be_cut(kind: type[nn.Module]) -> None:
    model, x = made(kind), given(kind)
    attentions = 2 if kind is CausalTransformer else 6  # of two layers each: own, own, crossed
    assert {g.size for g in projected_heads(model).values()} == {2}
    assert len(CutHeads(_Any(), rate=0.5).find(model, x[:1])) == attentions
    units = {group.name for group in channel_groups(model, x[:1])[0]}
    assert len(units) == (2 if kind is CausalTransformer else 4)
    assert all(name.endswith("feed_forward.gate_proj") for name in units)


class _Any:
    """Instead of a criterion: nothing is scored."""


def test_blocks_can_be_dropped() -> None:
    found, skipped = removable(made(CausalTransformer), given(CausalTransformer))
    assert found == {"blocks.0": [], "blocks.1": []}
    assert not skipped


# Embedding; per layer four (or eight) width² of attention, three width·hidden; norms.
@pytest.mark.parametrize(
    ("name", "vocabulary", "count"),
    [
        ("decoder_nano", 68, 68 * 64 + 4 * (4 * 64**2 + 3 * 64 * 176 + 2 * 64) + 64),
        ("decoder_tiny", 68, 68 * 128 + 4 * (4 * 128**2 + 3 * 128 * 344 + 2 * 128) + 128),
        ("decoder_small", 68, 68 * 256 + 6 * (4 * 256**2 + 3 * 256 * 688 + 2 * 256) + 256),
        (
            "translator_nano",
            4000,
            4000 * 64 + 2 * (12 * 64**2 + 6 * 64 * 176 + 5 * 64) + 2 * 64,
        ),
        (
            "translator_tiny",
            4000,
            4000 * 128 + 3 * (12 * 128**2 + 6 * 128 * 344 + 5 * 128) + 2 * 128,
        ),
        (
            "translator_small",
            4000,
            4000 * 256 + 3 * (12 * 256**2 + 6 * 256 * 688 + 5 * 256) + 2 * 256,
        ),
    ],
)
def test_the_configs_have_the_parameters_that_they_say(
    name: str, vocabulary: int, count: int
) -> None:
    path = CONF / f"model/{name}.yaml"
    settings: Any = OmegaConf.to_container(OmegaConf.load(path))
    assert settings.pop("name") == name
    kind = {"CausalTransformer": CausalTransformer, "Translator": Translator}
    with torch.device("meta"):
        model = kind[settings.pop("_target_").rpartition(".")[2]](vocabulary, **settings)
    assert sum(p.numel() for p in model.parameters()) == count
    assert f" {count:,} parameters" in path.read_text()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"width": 10, "heads": 4}, "model.width=10: must be a multiple of twice model.heads (8)"),
        ({"layers": 0}, "model.layers=0: must be a whole number of at least 1"),
        ({"dropout": 1.0}, "model.dropout=1.0: must be a number from 0 up to"),
    ],
)
@KINDS
def test_what_is_refused(kind: type[nn.Module], settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        kind(IDS, **{**SMALL, **settings})
    assert str(raised.value).startswith(says)
