"""torchvision's transforms by name, each image's random numbers a function of its draws."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from condenser.errors import ConfigError, UnknownError


class Transform:
    """The transform of torchvision.transforms.v2 that ``name`` says, on each image of a batch.

    Its settings follow: ``{_target_: condenser.data.Transform, name: RandAugment, magnitude: 9}``.
    Its random numbers come from torch's generator, seeded from the image's own draws.
    Source: https://docs.pytorch.org/vision/stable/transforms.html

    Raises:
        ConfigError: an unknown name or setting; images of another size or type come out.
    """

    draws: ClassVar[int] = 2  # of 24 bits each

    def __init__(self, name: str, **settings: Any) -> None:
        from torchvision.transforms import v2

        several = {"MixUp", "CutMix"}  # they mix samples: data.mix
        known = {
            word
            for word, kind in vars(v2).items()
            if isinstance(kind, type) and issubclass(kind, v2.Transform) and word not in several
        }
        if name not in known:
            raise UnknownError("data.augment.name", name, known)
        try:
            self.transform = getattr(v2, name)(**settings)
        except Exception as error:
            why = " ".join(str(error).split())
            key, allowed = f"data.augment.{name}", "settings that it takes"
            raise ConfigError(key, settings, allowed, why) from error
        self.name, self.settings = name, settings

    def __repr__(self) -> str:
        return f"Transform({self.name!r}, {self.settings})"

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        high, low = (draws * 2**24).long().cpu().unbind(1)
        made = []
        with torch.random.fork_rng(devices=[]):
            for image, seed in zip(images, (high * 2**24 + low).tolist(), strict=True):
                torch.default_generator.manual_seed(seed)
                made.append(self.transform(image))
        if made[0].shape != images.shape[1:] or made[0].dtype != images.dtype:
            allowed = "a transform that keeps size and type"
            raise ConfigError("data.augment.name", self.name, allowed)
        return torch.stack(made)
