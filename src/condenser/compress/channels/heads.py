"""Attention heads that are really gone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.compress.base import Patterns
from condenser.compress.channels.attention import Attention
from condenser.compress.channels.compression import CutChannels
from condenser.compress.channels.graph import proven
from condenser.compress.channels.operations import OpenAttention
from condenser.compress.channels.projections import projected_heads
from condenser.compress.groups import IN, OUT, Group, Slice
from condenser.compress.patterns import matches


class CutHeads(CutChannels):
    """Remove the least important heads of attention.

    Of nn.MultiheadAttention, as torchvision's ViT has it, and of attention whose projections are
    linear layers, as in timm and transformers.

    A head is a group's channel: its queries, keys and values, and what the output layer reads of
    it. Arguments as for ``CutChannels``; scores are of heads. Attention of other kinds is listed in
    ``skipped``: torchvision's shifted windows take the width of a head from the width of the input.

    Source: Michel et al., "Are Sixteen Heads Really Better than One?", 2019,
    https://arxiv.org/abs/1905.10650
    """

    what = "heads"

    def named(self, model: nn.Module, image: Tensor | None) -> dict[str, Patterns]:
        return {"cut.exclude": (self.exclude, attentions(model))}

    def find(self, model: nn.Module, image: Tensor) -> list[Group]:
        closed, self.skipped = self_attentions(model, self.exclude)
        if closed:
            opened = OpenAttention(closed)
            opened.apply(model)
            self.operations.append(opened)
        apart = {n: g for n, g in projected_heads(model).items() if not matches(n, self.exclude)}
        good, unequal = proven(model, image, list(apart.values()), {})
        left = {n: why for n, why in self.skipped.items() if not any(within(a, n) for a in apart)}
        self.skipped = left | unequal
        return [*head_groups(model, self.exclude), *good]


def within(inner: str, outer: str) -> bool:
    """Whether one layer is the other, or lies in it."""
    return f"{inner}.".startswith(f"{outer}.")


def attentions(model: nn.Module) -> list[str]:
    """All attentions, whatever can be done to them."""
    kinds = (nn.MultiheadAttention, Attention)
    return [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, kinds) or "attention" in type(layer).__name__.lower()
    ]


def self_attentions(
    model: nn.Module, exclude: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """Names of the attentions that can be opened, and the others with the reason."""
    found, skipped = [], {}
    for name, layer in model.named_modules():
        if isinstance(layer, nn.MultiheadAttention):
            reason = Attention.refusal(layer) or (
                "exclude names it" if matches(name, exclude) else ""
            )
            if reason:
                skipped[name] = reason
            else:
                found.append(name)
        elif "attention" in type(layer).__name__.lower() and not isinstance(layer, Attention):
            skipped[name] = (
                f"a {type(layer).__name__} keeps its heads: its projections are none known"
            )
    return found, skipped


def head_groups(model: nn.Module, exclude: Sequence[str] = ()) -> list[Group]:
    """A group for every opened attention with more than one head."""
    return [
        Group(name, layer.heads, (queries_keys_values(name, layer), mixed_values(name, layer)))
        for name, layer in model.named_modules()
        if isinstance(layer, Attention) and layer.heads > 1 and not matches(name, exclude)
    ]


def queries_keys_values(name: str, layer: Attention) -> Slice:
    rows = torch.arange(layer.in_proj.out_features)
    return Slice(f"{name}.in_proj", OUT, rows, rows // layer.head_width % layer.heads)


def mixed_values(name: str, layer: Attention) -> Slice:
    columns = torch.arange(layer.out_proj.in_features)
    return Slice(f"{name}.out_proj", IN, columns, columns // layer.head_width)
