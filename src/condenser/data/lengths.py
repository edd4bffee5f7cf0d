"""Sequences of token ids: how long they are, batches cut to the longest, order by length."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from condenser.tasks import NOTHING, PAD

WINDOW = 50  # batches that are sorted together


def lengths(ids: Tensor) -> Tensor:
    """Of each sample of ids (N, …, L) the places up to its last id that is no padding, 1 or more:
    int64 (N,)."""
    return ends(ids != PAD).clamp(min=1)


def ends(there: Tensor) -> Tensor:
    """The places up to the last True on the last axis, of all rows between: (N, …, L) → (N,)."""
    place = torch.arange(1, there.shape[-1] + 1, device=there.device)
    return (there * place).flatten(1).amax(1)


def cut(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Ids without the padding that all samples end in, a target of tokens cut alike; other inputs
    as they are."""
    if image.dtype != torch.int64:
        return image, target
    longest = int(lengths(image).max())
    of_tokens = target.ndim == 2 and target.shape[1] == image.shape[-1] > 1
    if of_tokens and target.dtype == torch.int64:
        longest = max(longest, int(ends(target != NOTHING).max()))
        target = target[:, :longest]
    return image[..., :longest], target


def bucketed(order: Tensor, length: Tensor, batch: int, generator: torch.Generator) -> Tensor:
    """The order with samples of like length in one batch, little of which is then padding.

    Windows of 50 batches are sorted by length, and the whole batches shuffled; what is left over
    stays last.
    """
    windows = (part[length[part].argsort(stable=True)] for part in order.split(WINDOW * batch))
    by_length = torch.cat(list(windows))
    whole = len(order) // batch * batch
    places = torch.randperm(whole // batch, generator=generator)
    rows = by_length[:whole].view(-1, batch)[places]
    return torch.cat((rows.flatten(), by_length[whole:]))


def joined(parts: Sequence[Tensor], fill: int) -> Tensor:
    """The parts as one; what is shorter on the last axis than another is filled up."""
    longest = max(part.shape[-1] for part in parts)
    if parts[0].ndim > 1:
        parts = [pad(part, (0, longest - part.shape[-1]), value=fill) for part in parts]
    return torch.cat(list(parts))
