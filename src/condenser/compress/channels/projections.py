"""Heads of attention that is written as linear layers, as timm and transformers have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from condenser.compress.groups import IN, OUT, Group, Slice

APART = (
    ("query", "key", "value"),
    ("q_proj", "k_proj", "v_proj"),
    ("q_lin", "k_lin", "v_lin"),
    ("q", "k", "v"),
)
FUSED = "qkv"
MIXERS = ("o_proj", "out_proj", "out_lin", "o", "proj", "dense")  # what reads the heads
WIDTHS = ("attention_head_size", "head_dim")
HEADS = ("num_heads", "num_attention_heads", "n_heads")


def projected_heads(model: nn.Module) -> dict[str, Group]:
    """Attention → its heads as a group, where its projections are layers of their own.

    A head is what it takes of the queries, keys and values, and what the output projection reads of
    it. Whether the code in between lets a head go is for ``proven`` to try.
    """
    found = {}
    for name, layer in model.named_modules():
        width, mixer = head_width(layer), mixer_of(model, name, layer)
        if not width or not mixer:
            continue
        if parts := list(projections(name, layer, width)):
            heads = int(parts[0].channel.max()) + 1
            reader: Any = model.get_submodule(mixer)
            columns = torch.arange(reader.in_features)
            if heads > 1 and len(columns) == heads * width:
                read = Slice(mixer, IN, columns, columns // width)
                found[name] = Group(name, heads, (*parts, read))
    return found


def head_width(layer: nn.Module) -> int:
    """Of one head; 0 if the layer does not say."""
    own = vars(layer)
    said = next((own[key] for key in WIDTHS if isinstance(own.get(key), int)), 0)
    if said:
        return said
    heads = next((own[key] for key in HEADS if isinstance(own.get(key), int)), 0)
    width = own.get("dim")
    return width // heads if heads and isinstance(width, int) else 0


def projections(name: str, layer: nn.Module, width: int) -> Iterator[Slice]:
    """The rows of the queries, keys and values by head; none if the layer has none such."""
    if isinstance(fused := layer._modules.get(FUSED), nn.Linear):
        if fused.out_features % (3 * width) == 0:
            rows = torch.arange(fused.out_features)
            heads = fused.out_features // (3 * width)
            yield Slice(f"{name}.{FUSED}", OUT, rows, rows // width % heads)
        return
    for names in APART:
        layers: list[Any] = [layer._modules.get(key) for key in names]
        if all(isinstance(one, nn.Linear) for one in layers):
            if len({one.out_features for one in layers}) == 1:
                rows = torch.arange(layers[0].out_features)
                yield from (Slice(f"{name}.{key}", OUT, rows, rows // width) for key in names)
            return


def mixer_of(model: nn.Module, name: str, layer: nn.Module) -> str:
    """The name of the layer that reads the heads: a child, or ``output.dense`` beside it."""
    for key in MIXERS:
        if isinstance(layer._modules.get(key), nn.Linear):
            return f"{name}.{key}"
    beside = f"{name.rpartition('.')[0]}.output.dense".lstrip(".")
    try:
        return beside if isinstance(model.get_submodule(beside), nn.Linear) else ""
    except AttributeError:
        return ""


def recount(model: nn.Module, layers: Iterator[str]) -> None:
    """Tell attention with fused projections how many heads its narrowed layer has left."""
    for name in layers:
        parent, _, child = name.rpartition(".")
        if child != FUSED:
            continue
        attention: Any = model.get_submodule(parent)
        width = head_width(attention)
        if width and hasattr(attention, "num_heads"):
            rows = getattr(attention, FUSED).out_features
            attention.num_heads = rows // (3 * width)
            if hasattr(attention, "attn_dim"):
                attention.attn_dim = rows // 3
