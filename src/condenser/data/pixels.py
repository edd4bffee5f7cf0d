"""Mean and standard deviation of a set's pixels."""

from __future__ import annotations

import torch

from condenser.data.samples import Arrays, Samples
from condenser.data.split import take

_ENOUGH = 2000  # decoding files is slow, so a set of them is sampled


def pixel_statistics(samples: Samples) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel: of uint8 on the scale 0…1, of float32 as it is.

    Exact, from a histogram of the 256 values. For a set that is not in memory, over 2,000
    images. A constant channel gets std 1.
    """
    if isinstance(samples, Arrays) and samples.images.dtype == torch.int64:
        return (), ()  # token ids
    if isinstance(samples, Arrays) and samples.images.dtype == torch.float32:
        return _of_floats(samples.images)
    everything = torch.arange(len(samples.targets))
    chosen = everything if isinstance(samples, Arrays) else take(samples.targets, _ENOUGH, 0)
    counts = sum(_histogram(samples, index) for index in chosen.split(1000))
    assert isinstance(counts, torch.Tensor)
    value = torch.arange(256, dtype=torch.float64) / 255
    share = counts.double() / counts.sum(1, keepdim=True)
    mean = (share * value).sum(1)
    variance = (share * (value - mean.unsqueeze(1)).square()).sum(1)
    std = torch.where(variance > 0, variance.sqrt(), 1.0)
    return tuple(mean.tolist()), tuple(std.tolist())


def _of_floats(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    count = images.numel() / images.shape[1]
    parts = [part.double() for part in images.cpu().split(1000)]
    others = [axis for axis in range(images.ndim) if axis != 1]
    mean = torch.stack([part.sum(others) for part in parts]).sum(0) / count
    centre = mean.view(-1, *[1] * (images.ndim - 2))
    squares = [(part - centre).square().sum(others) for part in parts]
    variance = torch.stack(squares).sum(0) / count
    std = torch.where(variance > 0, variance.sqrt(), 1.0)
    return tuple(mean.tolist()), tuple(std.tolist())


def _histogram(samples: Samples, index: torch.Tensor) -> torch.Tensor:
    channels = samples.read(index).cpu().transpose(0, 1).flatten(1)
    return torch.stack([channel.bincount(minlength=256) for channel in channels])
