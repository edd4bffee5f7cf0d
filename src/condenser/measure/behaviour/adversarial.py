"""Accuracy under the worst change of every pixel within a bound, as far as gradients find it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.capture import device_of, evaluating
from condenser.data.counter_rng import uniform
from condenser.measure.behaviour.evaluated import BATCH

Normalise = Callable[[Tensor], Tensor]


def attacked(
    model: nn.Module,
    normalise: Normalise,
    images: Tensor,
    targets: Tensor,
    eps: float,
    steps: int = 20,
    seed: int = 0,
) -> Tensor:
    """Images (N, C, H, W) in [0, 1] that the network is to get wrong, none of them further than
    ``eps`` from its own in any pixel.

    x ← clip(x + a · sign ∂CE/∂x), projected on the ball and on [0, 1]. One step is FGSM: a = eps,
    from the image itself. More are PGD: a = 2.5 · eps / steps, from a random point of the ball.
    An upper bound of the accuracy only: a stronger attack may find more.

    Sources: Goodfellow, Shlens, Szegedy 2015, https://arxiv.org/abs/1412.6572; Madry, Makelov,
    Schmidt, Tsipras, Vladu 2018, https://arxiv.org/abs/1706.06083
    """
    found = []
    every = torch.arange(len(images))
    for x, y, own in zip(*(t.split(BATCH) for t in (images, targets, every)), strict=True):
        low, high = (x - eps).clamp(min=0), (x + eps).clamp(max=1)
        step, moved = eps, x
        if steps > 1:
            step = 2.5 * eps / steps
            start = 2 * uniform(seed, own, 0, 0, x[0].numel()).view_as(x) - 1
            moved = (x + eps * start).clamp(low, high)
        for _ in range(steps):
            moved = (moved + step * gradient(model, normalise, moved, y).sign()).clamp(low, high)
        found.append(moved)
    return torch.cat(found)


def gradient(model: nn.Module, normalise: Normalise, x: Tensor, y: Tensor) -> Tensor:
    """∂CE/∂x of each image."""
    device = device_of(model)
    with evaluating(model), torch.enable_grad():
        given = x.to(device).requires_grad_()
        loss = F.cross_entropy(model(normalise(given)), y.to(device), reduction="sum")
        return torch.autograd.grad(loss, given)[0].cpu()
