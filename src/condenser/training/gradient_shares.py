"""Each term's share of the gradient norm, to spot loss terms that do nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


def gradient_shares(
    terms: Mapping[str, Tensor], weights: Mapping[str, float], parameters: Sequence[nn.Parameter]
) -> dict[str, float]:
    """‖w_i·∇L_i‖ / Σ_j ‖w_j·∇L_j‖ over ``parameters``, by term; the graph is kept.

    0 for a term that reaches no parameter or has weight 0, and for all if every gradient is 0.
    """
    norms = {name: abs(w) * gradient_norm(terms[name], parameters) for name, w in weights.items()}
    total = sum(norms.values())
    return {name: norm / total if total else 0.0 for name, norm in norms.items()}


def gradient_norm(loss: Tensor, parameters: Sequence[nn.Parameter]) -> float:
    trained = [p for p in parameters if p.requires_grad]
    if not loss.requires_grad or not trained:
        return 0.0
    found = torch.autograd.grad(loss, trained, retain_graph=True, allow_unused=True)
    gradients = [gradient.float() for gradient in found if gradient is not None]
    return float(torch.nn.utils.get_total_norm(gradients)) if gradients else 0.0
