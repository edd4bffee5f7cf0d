"""Representation similarity of two networks on the same images (CKA)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.capture import Capture, Pairs, device_of, evaluating, stage_pairs
from condenser.errors import ConfigError

BATCH, COLUMNS = 250, 4096


def cka(
    student: nn.Module, teacher: nn.Module, images: Tensor, pairs: Pairs | None = None
) -> dict[str, float]:
    """``linear_cka`` of pairs of layers on the same images, as ``student_layer~teacher_layer``.

    Both run in eval mode and are left unchanged. Maps are flattened.

    Args:
        images: float32 (n, C, H, W), normalised; a few hundred. All their features are held in
            memory at once, and a layer of more than n features costs n² products for each.
        pairs: layers of the student and those of the teacher, as ``Capture`` names them; None: the
            stages of both, the deepest with the deepest.

    Raises:
        ConfigError: fewer than two images, or a layer that a network does not have.
    """
    if len(images) < 2:
        raise ConfigError("images", len(images), "two or more to compare networks on")
    ours, theirs = pairs or stage_pairs(student, teacher, images[:2].to(device_of(student)))
    own, given = features(student, images, ours), features(teacher, images, theirs)
    return {f"{s}~{t}": linear_cka(own[s], given[t]) for s, t in zip(ours, theirs, strict=True)}


def features(network: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Layer outputs for all images: (n, features) each, on the CPU."""
    device, parts = device_of(network), []
    with evaluating(network), Capture(network, layers) as capture:
        for batch in images.split(BATCH):
            network(batch.to(device))
            parts.append({name: f.flatten(1).cpu() for name, f in capture.take().items()})
    return {name: torch.cat([part[name] for part in parts]) for name in layers}


def linear_cka(x: Tensor, y: Tensor) -> float:
    """‖YᵀX‖² / (‖XᵀX‖ · ‖YᵀY‖) in Frobenius norms, of centred features.

    From 0 to 1: 1 for features equal up to rotation, scale and shift. Unrelated features still
    have about √(d·d')/n, and close to 1 if d and d' are far above n: compare only values of the
    same n and the same layers. In float64; 0 if a side is constant to its dtype's precision.

    With more features than images, n×n products are used: ⟨XXᵀ, YYᵀ⟩ = ‖YᵀX‖².

    Args:
        x, y: (n, d) and (n, d'), a row an image.

    Source: Kornblith, Norouzi, Lee, Hinton, "Similarity of Neural Network Representations
    Revisited", ICML 2019, section 3, https://arxiv.org/abs/1905.00414
    """
    if max(x.shape[1], y.shape[1]) > len(x):
        own, given = gram(x), gram(y)
        cross = (own * given).sum()
    else:
        x, y = centred(x), centred(y)
        own, given, cross = x.T @ x, y.T @ y, (y.T @ x).square().sum()
    scale = own.norm() * given.norm()
    return float(cross / scale) if scale else 0.0


def gram(x: Tensor) -> Tensor:
    """XXᵀ of centred features, (n, n), in column chunks to bound float64 memory."""
    parts = (centred(columns) for columns in x.split(COLUMNS, dim=1))
    return sum((part @ part.T for part in parts), torch.zeros((), dtype=torch.float64))


def centred(x: Tensor) -> Tensor:
    """x minus its mean over the images; 0 where that is within its dtype's rounding."""
    whole = x.double()
    varying = whole - whole.mean(dim=0)
    rounding = torch.finfo(x.dtype).eps * whole.norm()
    return varying if varying.norm() > rounding else torch.zeros_like(varying)
