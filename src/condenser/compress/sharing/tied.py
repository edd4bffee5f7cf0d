"""Tied weights: every member of a cluster gets its centroid's gradient."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook


class Tied:
    """Keeps weights of one label equal during training, and label 0 at zero.

    Before an optimiser's step each member's gradient becomes G = Σ over the members of ∂L/∂w, the
    gradient of their centroid; members have equal weights, gradients and optimiser state, so that
    the step moves them alike, and it is the centroid's own step. Being done once a step, this holds
    with gradients that are accumulated, scaled or averaged between processes, and for members in
    several layers. ``project`` then removes what a step that does not go weight by weight (or
    rounding) has left between members: each becomes their mean.

    A weight that someone else sets to zero, a pruning say, leaves its cluster for good.
    Weight decay acts on a centroid as it does on one weight. One Tied rules a weight: the latest.

    Args:
        weights: by layer name.
        labels: by layer name, of the weights' shapes; 0 is zero.
        codebook: (labels,) the value of each label, the first of them 0.
        train: whether centroids move; else weights keep their values.
    """

    def __init__(
        self,
        weights: Mapping[str, nn.Parameter],
        labels: Mapping[str, Tensor],
        codebook: Tensor,
        train: bool = True,
    ) -> None:
        for other in TIES:
            other.forget(weights)
        self.weights, self.train = dict(weights), train
        self.set(labels, codebook)
        TIES.add(self)
        watch_optimizers()

    def set(self, labels: Mapping[str, Tensor], codebook: Tensor) -> None:
        self.labels = {name: labels[name].flatten().long() for name in self.weights}
        wide = torch.promote_types(codebook.dtype, torch.float32)
        self.codebook = codebook.to(wide, copy=True)
        self._count()

    def forget(self, weights: Mapping[str, nn.Parameter]) -> None:
        """Leave these weights to another."""
        taken = {id(w) for w in weights.values()}
        self.weights = {name: w for name, w in self.weights.items() if id(w) not in taken}
        self.labels = {name: self.labels[name] for name in self.weights}
        self._count()

    @torch.no_grad()
    def sum_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Give each member its centroid's gradient, where ``optimizer`` moves these weights."""
        moved = {id(p) for group in optimizer.param_groups for p in group["params"]}
        mine = {name: w.grad for name, w in self.weights.items() if id(w) in moved}
        grads = {name: grad for name, grad in mine.items() if grad is not None}
        if not grads or not self.train:
            return
        self._move_to(next(iter(grads.values())).device)
        self._drop_zeros()
        total = torch.zeros_like(self.codebook)
        for name, grad in grads.items():
            self._add(total, name, grad)
        total[0] = 0
        for name, grad in grads.items():
            grad.copy_(self._of(total, name))

    @torch.no_grad()
    def project(self) -> None:
        """Members become their mean, label 0 zero; where nothing trains, what they were."""
        if not self.weights:
            return
        self._move_to(next(iter(self.weights.values())).device)
        if self.train:
            self.codebook = self._one_of_each()
            if all(torch.equal(w, self._of(self.codebook, n)) for n, w in self.weights.items()):
                return
            apart = torch.zeros_like(self.codebook)  # from one of them: nothing is lost to rounding
            for name, weight in self.weights.items():
                self._add(apart, name, weight - self._of(self.codebook, name))
            self.codebook += apart.div_(self.members)
            self.codebook[0] = 0
        for name, weight in self.weights.items():
            weight.copy_(self._of(self.codebook, name))

    def _one_of_each(self) -> Tensor:
        """A codebook of what one member of each cluster is now."""
        now = self.codebook.clone()
        for name, (labels, places) in self.places.items():
            now[labels] = self.weights[name].flatten()[places].to(now.dtype)
        now[0] = 0
        return now

    def _add(self, total: Tensor, name: str, values: Tensor) -> None:
        total.scatter_add_(0, self.labels[name], values.flatten().to(total.dtype))

    def _of(self, values: Tensor, name: str) -> Tensor:
        """Each weight's entry of ``values`` (labels,), in the layer's shape and precision."""
        weight = self.weights[name]
        return values.index_select(0, self.labels[name]).view(weight.shape).to(weight.dtype)

    def _drop_zeros(self) -> None:
        dropped = False
        for name, weight in self.weights.items():
            if int(weight.count_nonzero()) != self.living[name]:
                self.labels[name].masked_fill_(weight.flatten() == 0, 0)
                dropped = True
        if dropped:
            self._count()

    def _count(self) -> None:
        """What follows from the labels: members of each, weights alive, where one of each is."""
        self.members = torch.ones_like(self.codebook)
        self.living: dict[str, int] = {}
        self.places: dict[str, tuple[Tensor, Tensor]] = {}
        for name, label in self.labels.items():
            place = label.new_full((len(self.codebook),), -1)
            place.scatter_reduce_(0, label, torch.arange(len(label), device=label.device), "amax")
            here = (place >= 0).nonzero().flatten()
            self.places[name] = (here, place[here])
            self.living[name] = int(label.count_nonzero())
        if self.labels:
            every = torch.cat(list(self.labels.values()))
            self.members = every.bincount(minlength=len(self.codebook)).clamp_(min=1)

    def _move_to(self, device: torch.device) -> None:
        if self.codebook.device != device:
            self.labels = {name: label.to(device) for name, label in self.labels.items()}
            self.codebook = self.codebook.to(device)
            self._count()


TIES: WeakSet[Tied] = WeakSet()


def tied(weight: nn.Parameter) -> bool:
    """Whether someone rules this weight already."""
    return any(weight is other for tie in TIES for other in tie.weights.values())


@cache
def watch_optimizers() -> None:
    """Once in a process: before any optimiser's step, gradients are summed. No tie, no work."""

    def before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for tie in TIES:
            tie.sum_gradients(optimizer)

    register_optimizer_step_pre_hook(before)
