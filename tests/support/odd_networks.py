"""Networks as people write them, for images of 1x8x8 and ten classes: odd, and mostly right."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.nn.utils import spectral_norm as old_spectral_norm
from torch.nn.utils import weight_norm as old_weight_norm

Pair = namedtuple("Pair", ["features", "logits"])


class Plain(nn.Module):
    """64 → 16 → 10, as many of these begin."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64, 16), nn.Linear(16, num_classes)

    def hidden(self, x: Tensor) -> Tensor:
        return functional.relu(self.fc1(x.flatten(1)))

    def forward(self, x: Tensor) -> Any:
        return self.fc2(self.hidden(x))


# --- tied


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.into, self.first = nn.Linear(64, 16), nn.Linear(16, 16)
        self.second, self.out = nn.Linear(16, 16), nn.Linear(16, num_classes)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.into(x.flatten(1)))
        return self.out(functional.relu(self.second(functional.relu(self.first(x)))))


class TwoNames(Plain):
    """One module in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.again = self.fc2

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.hidden(x))


class Transposed(Plain):
    """A decoder on the encoder's storage, turned."""

    def __init__(self) -> None:
        super().__init__()
        self.back = nn.Linear(16, 64)
        self.back.weight = nn.Parameter(self.fc1.weight.t())

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.hidden(self.back(self.hidden(x))))


class Twice(nn.Module):
    """A module called twice."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.into, self.middle = nn.Linear(64, 16), nn.Linear(16, 16)
        self.out = nn.Linear(16, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.into(x.flatten(1)))
        return self.out(functional.relu(self.middle(functional.relu(self.middle(x)))))


class ConvTwice(nn.Module):
    """A convolution called twice."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.into, self.middle = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.out = nn.Linear(144, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.middle(functional.relu(self.middle(self.into(x)))))
        return self.out(x.flatten(1))


# --- weights made of others


class WeightNorm(Plain):
    def __init__(self) -> None:
        super().__init__()
        parametrizations.weight_norm(self.fc1)


class SpectralNorm(Plain):
    def __init__(self) -> None:
        super().__init__()
        parametrizations.spectral_norm(self.fc1)


class Orthogonal(Plain):
    def __init__(self) -> None:
        super().__init__()
        parametrizations.orthogonal(self.fc1, orthogonal_map="cayley")


class OldWeightNorm(Plain):
    def __init__(self) -> None:
        super().__init__()
        old_weight_norm(self.fc1)


class OldSpectralNorm(Plain):
    def __init__(self) -> None:
        super().__init__()
        old_spectral_norm(self.fc1)


# --- answers


class Tuple(Plain):
    def forward(self, x: Tensor) -> Any:
        hidden = self.hidden(x)
        return self.fc2(hidden), hidden


class Named(Plain):
    def forward(self, x: Tensor) -> Any:
        hidden = self.hidden(x)
        return Pair(hidden, self.fc2(hidden))


class Dict(Plain):
    def forward(self, x: Tensor) -> Any:
        return {"hidden": self.hidden(x), "logits": super().forward(x)}


@dataclass
class Output:
    logits: Tensor
    loss: Tensor | None = None


class Dataclass(Plain):
    def forward(self, x: Tensor, labels: Tensor | None = None) -> Any:
        logits = super().forward(x)
        return Output(logits, None if labels is None else functional.cross_entropy(logits, labels))


class NoLogits(Plain):
    def forward(self, x: Tensor) -> Any:
        return {"aux": self.hidden(x), "out": super().forward(x)}


class Nothing(Plain):
    def forward(self, x: Tensor) -> Any:
        super().forward(x)


class Maps(nn.Module):
    """Logits (N, C, 1, 1)."""

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(input_shape[0], 8, 3)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, num_classes, 1)

    def forward(self, input: Tensor) -> Tensor:
        return self.head(self.pool(functional.relu(self.conv(input))))


class Twenty(Plain):
    def __init__(self) -> None:
        super().__init__(20)


class PerPixel(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Probabilities(Plain):
    """Of a binary head, on ten classes."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sum(1)


# --- state


class Versioned(Plain):
    _version = 2

    def _load_from_state_dict(self, state: Any, prefix: str, local: Any, *args: Any) -> None:
        if local.get("version", None) != 2:
            raise ValueError("made before version 2")
        super()._load_from_state_dict(state, prefix, local, *args)


class Renamed(Plain):
    """Reads the names of old."""

    def _load_from_state_dict(self, state: Any, prefix: str, *args: Any) -> None:
        if (old := f"{prefix}dense.weight") in state:
            state[f"{prefix}fc1.weight"] = state.pop(old)
        super()._load_from_state_dict(state, prefix, *args)


class Buffers(Plain):
    """Buffers of every type."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.tensor(0))
        self.register_buffer("flag", torch.tensor([True, False]))
        self.register_buffer("scale", torch.tensor(2.0, dtype=torch.float64))
        self.register_buffer("bytes", torch.arange(4, dtype=torch.uint8))
        self.register_buffer("short", torch.ones(3, dtype=torch.float16))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += 1
            self.flag.logical_not_()
        return super().forward(x * self.scale.float())


class Constant(Plain):
    """A buffer that is not saved and need not be."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ramp", torch.linspace(0.5, 1.5, 64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1) * self.ramp)


class Forgotten(Plain):
    """A buffer that is not saved and would have to be."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("noise", torch.randn(64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1) * self.noise)


class Running(Plain):
    """What training moves, and nobody saves."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.zeros(16)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.hidden(x)
        if self.training:
            self.mean = 0.9 * self.mean + hidden.mean(0).detach()
        return self.fc2(hidden - self.mean)


class ExtraState(Plain):
    def get_extra_state(self) -> Any:
        return {"epoch": 3}

    def set_extra_state(self, state: Any) -> None:
        pass


class ExtraTensor(Plain):
    def get_extra_state(self) -> Any:
        return torch.tensor([3])

    def set_extra_state(self, state: Any) -> None:
        pass


class Uncopied(Plain):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = Lock()


# --- parameters


class Frozen(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.fc1.requires_grad_(False)


class AllFrozen(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


class Detached(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


class Unused(Plain):
    """Layers that forward never calls."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.gain = nn.Parameter(torch.ones(3))


class Double(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.double()


class DoubleInside(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.fc2.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.hidden(x).double())


class Half(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.half()


class Lazy(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d()
        self.head = nn.LazyLinear(num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(functional.relu(self.norm(self.conv(x))).flatten(1))


class Dots(nn.Module):
    """Names that are no Python words."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({"a b": nn.Linear(64, 16), "größe/2": nn.Linear(16, 16)})
        self.add_module("weight", nn.Linear(16, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.layers.values():
            x = functional.relu(layer(x))
        return self._modules["weight"](x)  # type: ignore[misc]


# --- forward


class InPlace(Plain):
    """In-place operations on what is its own."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fc1(x.flatten(1))
        hidden += 1
        hidden.relu_()
        return self.fc2(hidden)


class SpoilsInput(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(2))


class Dropout(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.dropout(self.hidden(x), 0.3, self.training))


class Noisy(Plain):
    """Random in training alone."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.rand_like(x) if self.training else x)


class Random(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.rand_like(x))


class Decides(Plain):
    """A graph cannot hold it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.mean() > 0 else -x)


class FixedBatch(Plain):
    """A number of images in a constant."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(len(x), 64) if len(x) != 2 else x.reshape(2, 64))


class Optional(Plain):
    def forward(self, x: Tensor, mask: Tensor | None = None, *, scale: float = 1.0) -> Tensor:
        return super().forward(x * scale if mask is None else x * mask)


class LargeImages(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 16)


class View(nn.Module):
    """x.view after a convolution, as in many a tutorial."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(144, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv(x))
        return self.fc(x.view(x.size(0), -1))


class OnePixel(nn.Module):
    """A batch norm on 1x1 maps."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 8, 8), nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(functional.relu(self.norm(self.conv(x))))


class BatchStatistics(OnePixel):
    """Its answers depend on the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(8, track_running_stats=False)


class Recurrent(nn.Module):
    """Rows of the image through an LSTM, whose outputs are tuples."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 12, batch_first=True)
        self.head = nn.Linear(12, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x[:, 0])[0][:, -1])


# --- constructors


class Settings(Plain):
    """Takes neither shape nor classes, but a setting."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64, width), nn.Linear(width, 10)


class Anything(Plain):
    def __init__(self, **settings: Any) -> None:
        super().__init__(settings["num_classes"])


class Broken(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(64, self.width)  # type: ignore[arg-type]


def function(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, num_classes))


def networks() -> Iterator[str]:
    """The names of all."""
    for name, kind in globals().items():
        if isinstance(kind, type) and issubclass(kind, nn.Module):
            yield name
