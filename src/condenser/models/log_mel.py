"""Waveform → log-mel spectrogram, as layers of the network, so that the deployed file has them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from condenser.errors import ConfigError


class LogMel(nn.Module):
    """log(F |STFT(x)|² + ε): a waveform → (batch, 1, mels, frames).

    F (mels, bins) are triangles between mels + 2 frequencies that are equally spaced on HTK's mel
    scale, mel(f) = 2595 log₁₀(1 + f/700); each is 1 at its middle. The window is Hann's, periodic,
    and a frame begins every ``hop`` seconds; none reaches beyond the waveform.

    It has no parameters and stays in float. What it takes is cut, or padded with zeros, to
    ``samples`` first, so that its answer does not depend on how far a batch was padded. The
    triangles are made from their corners as it runs: a file would hold mels · bins numbers.

    Sources: Davis, Mermelstein 1980, https://doi.org/10.1109/TASSP.1980.1163420; the scale and
    the triangles: Young et al., The HTK Book (2006), section 5.4

    Args:
        samples: of the waveform that it looks at.
        rate: samples a second.
        window, hop: a frame's length and the time between two, in seconds.
        peak: the waveform is divided by its largest sample first, so that loudness does not matter.

    Raises:
        ConfigError: a frame is longer than the waveform, or a triangle lies between two bins.
    """

    def __init__(
        self,
        samples: int,
        rate: int = 8000,
        window: float = 0.032,
        hop: float = 0.025,
        mels: int = 40,
        low: float = 20.0,
        peak: bool = True,
    ) -> None:
        super().__init__()
        self.samples, self.peak = samples, peak
        self.n_fft, self.hop = round(window * rate), round(hop * rate)
        if not 1 <= self.hop <= self.n_fft <= samples:
            allowed = f"hop <= window <= {samples / rate:g} seconds, the waveform's"
            raise ConfigError("model.window", f"{window:g}, hop={hop:g}", allowed)
        corners, step = mel_corners(low, rate / 2, mels), rate / self.n_fft
        for left, right in zip(corners, corners[2:], strict=False):
            if left // step + 1 >= right / step:
                allowed = (
                    f"fewer, or a longer window: no frequency between {left:g} and {right:g} Hz"
                )
                raise ConfigError("model.mels", mels, allowed)
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)
        self.register_buffer("corners", torch.tensor(corners).view(1, -1, 1), persistent=False)
        bins = torch.arange(self.n_fft // 2 + 1) * step
        self.register_buffer("bins", bins, persistent=False)
        self.window: Tensor
        self.corners: Tensor
        self.bins: Tensor

    @property
    def frames(self) -> int:
        return 1 + (self.samples - self.n_fft) // self.hop

    def forward(self, waveform: Tensor) -> Tensor:
        wave = waveform.flatten(1)[:, : self.samples]
        wave = functional.pad(wave, (0, self.samples - wave.shape[1]))
        if self.peak:
            wave = wave / (wave.abs().amax(1, keepdim=True) + 1e-3)
        spectrum = torch.stft(
            wave, self.n_fft, self.hop, window=self.window, center=False, return_complex=True
        )
        power = torch.view_as_real(spectrum).square().sum(-1)
        # for each sample anew: what does not depend on the input is written out by an exporter
        corners = torch.zeros_like(power[:, :1, :1]) + self.corners
        return (triangles(corners, self.bins) @ power + 1e-5).log().unsqueeze(1)


def mel_corners(low: float, high: float, mels: int) -> list[float]:
    """mels + 2 frequencies in Hz, equally spaced on HTK's mel scale."""
    first, last = (2595 * math.log10(1 + f / 700) for f in (low, high))
    step = (last - first) / (mels + 1)
    return [700 * (10 ** ((first + step * place) / 2595) - 1) for place in range(mels + 2)]


def triangles(corners: Tensor, bins: Tensor) -> Tensor:
    """(…, mels, bins): of each filter what it takes of each bin; corners (…, mels + 2, 1)."""
    left, middle, right = corners[..., :-2, :], corners[..., 1:-1, :], corners[..., 2:, :]
    rising, falling = (bins - left) / (middle - left), (right - bins) / (right - middle)
    return torch.minimum(rising, falling).clamp(min=0)


class SpecAugment(nn.modules.dropout._DropoutNd):  # of what a step's seed is set for
    """Set a random band of mels and a random stretch of frames of each spectrogram to its mean.

    In training only, from torch's global generator, as dropout. Widths are uniform in 0…``mels``
    and 0…``frames``, places uniform. One mask of each, no time warping.

    Source: Park et al. 2019, https://arxiv.org/abs/1904.08779
    """

    def __init__(self, mels: int, frames: int) -> None:
        super().__init__(p=0.0)
        for name, value in (("augment_mels", mels), ("augment_frames", frames)):
            if value < 0:
                raise ConfigError(f"model.{name}", value, ">= 0")
        self.most = (mels, frames)

    def forward(self, features: Tensor) -> Tensor:
        if not self.training or not any(self.most):
            return features
        mean = features.mean((1, 2, 3), keepdim=True)
        for axis, most in zip((2, 3), self.most, strict=True):
            first = features.select(axis, 0).flatten(1)[:, :1]
            width, start = torch.rand_like(first) * most, torch.rand_like(first)
            places = torch.ones_like(features).cumsum(axis) - 1
            start = (start * (features.shape[axis] - width)).view(-1, 1, 1, 1)
            behind = places - start.floor()
            inside = (behind >= 0) & (behind < width.view(-1, 1, 1, 1).round())
            features = torch.where(inside, mean, features)
        return features
