"""Where a network looks, and whether two networks look at the same places. By captum."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.capture import device_of, evaluating
from condenser.capture.layers import calls_of, stages_of
from condenser.errors import CondenserError

EXTRAS = {"attribution": {"captum": "captum==0.9.0"}}
TOP = 0.1  # of the pixels
STEPS = 20  # of integrated gradients
LEAST_SIDE = 6  # of SSIM's window of 11, mirrored at the border
METHODS = ("gradient", "integrated", "gradcam")


def maps(model: nn.Module, images: Tensor, target: Tensor, black: Tensor) -> dict[str, Tensor]:
    """What each pixel does for the logit of ``target``, by method: float32 (N, H, W), not negative.

    gradient: |∂z/∂x|, summed over channels. integrated: |integrated gradients| from ``black`` in 20
    steps, the same. gradcam: of the last stage's maps, enlarged; not of a network without maps.

    Args:
        images, black: as the network takes them, (N, C, H, W) and (1, C, H, W).

    Sources: Simonyan, Vedaldi, Zisserman 2014, https://arxiv.org/abs/1312.6034; Sundararajan,
    Taly, Yan 2017, https://arxiv.org/abs/1703.01365; Selvaraju, Cogswell, Das, Vedantam, Parikh,
    Batra 2017, https://arxiv.org/abs/1610.02391
    """
    from captum.attr import IntegratedGradients, Saliency

    device = device_of(model)
    images, target = images.to(device), target.to(device)
    with evaluating(model), torch.enable_grad():
        found = {"gradient": Saliency(model).attribute(images.clone().requires_grad_(), target)}
        size = max(len(images), STEPS)  # at once; captum's own is all steps of all images
        found["integrated"] = IntegratedGradients(model).attribute(
            images, black.to(device), target, n_steps=STEPS, internal_batch_size=size
        )
        if (layer := last_map(model, images[:2])) is not None:
            found["gradcam"] = cam(model, layer, images, target)
    return {name: one.detach().abs().sum(1).float().cpu() for name, one in found.items()}


def cam(model: nn.Module, layer: nn.Module, images: Tensor, target: Tensor) -> Tensor:
    from captum.attr import LayerGradCam

    found = LayerGradCam(model, layer).attribute(images, target, relu_attributions=True)
    return F.interpolate(found, images.shape[2:], mode="bilinear", align_corners=False)


def last_map(model: nn.Module, images: Tensor) -> nn.Module | None:
    """The last layer whose outputs are maps; None without one."""
    try:
        name = stages_of(model, images)[-1]
    except CondenserError:
        return None
    last = [call for call in calls_of(model, images) if call.name == name][-1]
    return last.module if last.output.dim() == 4 else None


def agreement(own: Tensor, other: Tensor) -> dict[str, float]:
    """Means over images of how alike two sets of maps (N, H, W) are.

    spearman: correlation of the ranks of all pixels; 0 where a map is constant. top: share of the
    tenth of the pixels with the largest values that both have; of unrelated maps a tenth. ssim:
    structural similarity of the maps scaled to 0…1; not for sides below 6.

    Source of ssim: Wang, Bovik, Sheikh, Simoncelli 2004, https://doi.org/10.1109/TIP.2003.819861
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = own.flatten(1).double(), other.flatten(1).double()
    found = {"spearman": correlation(ranks(a), ranks(b)).mean().item(), "top": common(a, b)}
    if min(own.shape[1:]) >= LEAST_SIDE:
        one, two = (scaled_to_one(maps)[:, None].float() for maps in (own, other))
        found["ssim"] = float(structural_similarity_index_measure(one, two, data_range=1.0))  # type: ignore[arg-type]
    return found


def ranks(values: Tensor) -> Tensor:
    """Place of each value in its row, equal values sharing the mean of theirs."""
    below = torch.searchsorted(values.sort(1).values, values, right=False)
    upto = torch.searchsorted(values.sort(1).values, values, right=True)
    return (below + upto).double() / 2


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's, row by row; 0 where a row is constant."""
    a, b = (one - one.mean(1, keepdim=True) for one in (a, b))
    scale = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(scale > 0, (a * b).sum(1) / scale.clamp(min=1e-300), 0.0)


def common(a: Tensor, b: Tensor) -> float:
    count = max(1, round(TOP * a.shape[1]))
    chosen = [torch.zeros_like(one).scatter(1, one.topk(count).indices, 1) for one in (a, b)]
    return (chosen[0] * chosen[1]).sum(1).mean().item() / count


def scaled_to_one(maps: Tensor) -> Tensor:
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp(min=1e-12)
