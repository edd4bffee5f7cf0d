"""Heads of attention that is written as linear layers leave as those of torch's own do."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from condenser.compress.base import CalibrationData
from condenser.compress.channels import CutHeads, removed, zero
from condenser.compress.channels.projections import projected_heads
from condenser.compress.scores import Norm
from condenser.errors import ConfigError

WIDTH, HEADS = 16, 4


class Fused(nn.Module):
    """As timm writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.attn_dim = HEADS, WIDTH // HEADS, WIDTH
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(b, n, self.attn_dim))
        return out


class Apart(nn.Module):
    """As transformers writes it: the number of heads is what the projections' width leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.head_dim = WIDTH // HEADS
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            self.add_module(name, nn.Linear(WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        shape = (*x.shape[:2], -1, self.head_dim)
        q, k, v = (
            f(x).view(shape).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return out


class Fixed(Apart):
    """Its code counts the heads itself, so that none can go."""

    def forward(self, x: Tensor) -> Tensor:
        self.q_proj(x).view(*x.shape[:2], HEADS, WIDTH // HEADS)
        return super().forward(x)


class Net(nn.Module):
    def __init__(self, attention: type[nn.Module]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention, self.head = attention(), nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.attention(x.flatten(1, 2)).mean(1))
        return out


def images() -> Tensor:
    return torch.randn(8, 1, 6, WIDTH, generator=torch.Generator().manual_seed(0))


def probe() -> CalibrationData:
    parts = [(images(), torch.zeros(8, dtype=torch.long))]
    return CalibrationData(lambda n: parts, functional.cross_entropy, dict)


@pytest.mark.parametrize("attention", [Fused, Apart])
def test_a_cut_head_is_a_zeroed_one_and_the_cut_is_replayed(attention: type[nn.Module]) -> None:
    whole = Net(attention).eval()
    model, zeroed, again = (copy.deepcopy(whole) for _ in range(3))
    (group,) = projected_heads(model).values()
    assert group.size == HEADS
    cut = CutHeads(Norm(p=1), rate=0.5)
    cut.prepare(model, probe())
    scores = Norm(p=1).channels(zeroed, [group], probe())[group.name]
    kept = torch.zeros(HEADS, dtype=torch.bool)
    kept[scores.topk(HEADS // 2).indices] = True
    zero(zeroed, removed([group], {group.name: kept}))
    assert torch.allclose(model(images()), zeroed(images()), atol=1e-6)
    assert sum(p.numel() for p in model.attention.parameters()) < 0.6 * 4 * WIDTH * (WIDTH + 1)
    for operation in cut.finish():
        operation.apply(again)
    assert torch.equal(again(images()), model(images()))


def test_attention_that_counts_its_heads_itself_is_left_whole_by_name() -> None:
    cut = CutHeads(Norm(p=1), rate=0.5)
    with pytest.raises(ConfigError, match="attention: cutting it .* does not equal zeroing it"):
        cut.prepare(Net(Fixed).eval(), probe())
