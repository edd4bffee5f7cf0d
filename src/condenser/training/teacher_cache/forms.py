"""Storage formats of logits: full, or the k largest and a remainder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from condenser.errors import ConfigError

Specs = dict[str, tuple[str, tuple[int, ...]]]  # dtype and shape per sample, by array


class Form(Protocol):
    """Encode logits (batch, classes) into arrays with as many rows, and decode to float32."""

    def specs(self, classes: int) -> Specs: ...

    def encode(self, logits: Tensor) -> dict[str, Tensor]: ...

    def decode(self, parts: dict[str, Tensor], classes: int) -> Tensor: ...


def form_of(logits: str | int) -> Form:
    """The format for the setting ``teacher.cache.logits``."""
    return Whole(logits) if isinstance(logits, str) else TopK(logits)


@dataclass(frozen=True)
class Whole:
    """Every logit, as float32 or rounded to float16."""

    dtype: str

    def specs(self, classes: int) -> Specs:
        return {"logits": (self.dtype, (classes,))}

    def encode(self, logits: Tensor) -> dict[str, Tensor]:
        return {"logits": logits.to(getattr(torch, self.dtype))}

    def decode(self, parts: dict[str, Tensor], classes: int) -> Tensor:
        return parts["logits"].float()


@dataclass(frozen=True)
class TopK:
    """The k largest logits z with their classes, and one value for each of the C-k others.

    That value, log Σ_rest exp z - log(C-k), spreads the probability of the rest evenly. At
    temperature 1 the kept classes and the rest as a whole have their exact probabilities; at
    others only the ratios of the kept ones are exact.

    Source: the labels with marginal smoothing of Shen, Xing, "A Fast Knowledge Distillation
    Framework for Visual Recognition", ECCV 2022, https://arxiv.org/abs/2112.01528
    """

    k: int

    def specs(self, classes: int) -> Specs:
        if self.k >= classes:
            allowed = f"float32, float16 or fewer than the teacher's {classes} logits"
            raise ConfigError("teacher.cache.logits", self.k, allowed)
        name = "int16" if classes <= 2**15 else "int32"
        return {
            "values": ("float32", (self.k,)),
            "classes": (name, (self.k,)),
            "rest": ("float32", (1,)),
        }

    def encode(self, logits: Tensor) -> dict[str, Tensor]:
        classes = logits.shape[1]
        values, kept = logits.double().topk(self.k)
        rest = logits.double().scatter(1, kept, -math.inf).logsumexp(1, keepdim=True)
        return {
            "values": values.float(),
            "classes": kept.to(torch.int16 if classes <= 2**15 else torch.int32),
            "rest": (rest - math.log(classes - self.k)).float(),
        }

    def decode(self, parts: dict[str, Tensor], classes: int) -> Tensor:
        whole = parts["rest"].expand(-1, classes).contiguous()
        return whole.scatter_(1, parts["classes"].long(), parts["values"])
