"""The weights of K students in one tensor a layer, and steps of all K at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from condenser.data import Batch
from condenser.training.population import objectives
from condenser.training.population.objectives import Objectives
from condenser.training.population.optimizers import Optimizers
from condenser.training.population.widened import Forward, NotWidened, mapped, widened

if TYPE_CHECKING:
    from condenser.training.student import Student

NEAR = {torch.float32: 1e-3, torch.bfloat16: 1e-1}  # of a gradient's norm: rounding
Terms = dict[str, Tensor]


class NotTogether(Exception):
    """Why students cannot make steps together."""


class Stack:
    """Students that are trained together; their weights are views of ``parameters``.

    Its first step is each student's own, and the gradients of all together are compared with it.

    Raises:
        NotTogether: they are not the same to rounding; nothing but that one step has been done.
    """

    def __init__(self, students: Sequence[Student]) -> None:
        self.students = students
        networks = [student.model for student in students]
        self.parameters = stacked([dict(net.named_parameters()) for net in networks])
        self.buffers = stacked([dict(net.named_buffers()) for net in networks])
        self.leaves = [tensor for tensor in self.parameters.values() if tensor.requires_grad]
        self.trained = [[p for p in net.parameters() if p.requires_grad] for net in networks]
        self.objectives = self.numbered()
        self.moves = objectives.moves(students[0].objective)
        self.forward: Forward | None = None

    def numbered(self) -> Objectives:
        return Objectives([s.objective for s in self.students], self.students[0].device)

    def learn(self, each: Sequence[Sequence[Batch]]) -> None:
        """A step for each batch of each student; all have as many."""
        with self.as_one():
            taught = self.taught(each)
            start = 0
            if self.forward is None:
                first = taught[0] if taught else None
                self.forward = self.found([batches[0] for batches in each], first)
                start = 1
            if start < len(each[0]):
                self.steps([batches[start:] for batches in each], taught and taught[start:])

    @contextmanager
    def as_one(self) -> Iterator[None]:
        """Gradients on, in the students' precision; casts are not kept, as weights move."""
        first = self.students[0]
        low = first.trainer.precision == "bf16-mixed"
        kind = first.device.type
        with torch.enable_grad(), torch.autocast(kind, torch.bfloat16, low, cache_enabled=False):
            yield

    def found(self, batches: Sequence[Batch], taught: Tensor | None) -> Forward:
        """The way that computes the students' own gradients; the students make their step."""
        tried = [self.tried(way, batches, taught) for way in self.ways()]
        for student, batch in zip(self.students, batches, strict=True):
            student.train_on_batch(batch)
        own = [torch.cat([flat(p.grad, p) for p in trained]) for trained in self.trained]
        for forward, gradients in filter(None, tried):
            if self.near(torch.stack(own), gradients):
                return forward
        raise NotTogether("together they would not compute what each computes alone")

    def ways(self) -> Iterator[Forward]:
        model = self.students[0].model
        with suppress(NotWidened):
            yield widened(model, self.parameters | self.buffers, len(self.students))
        yield mapped(model, self.parameters, self.buffers)

    def tried(
        self, forward: Forward, batches: Sequence[Batch], taught: Tensor | None
    ) -> tuple[Forward, Tensor] | None:
        """The gradients (K, weights) that this way computes; None where it cannot. Buffers stay."""
        before = {name: tensor.clone() for name, tensor in self.buffers.items()}
        try:
            terms = self.terms(forward, batches, taught)
            found = torch.autograd.grad(terms["loss"].sum(), self.leaves, allow_unused=True)
        except (NotWidened, RuntimeError, ValueError, TypeError, AttributeError):
            return None  # a layer or an objective that cannot be of several
        finally:
            for name, tensor in self.buffers.items():
                tensor.copy_(before[name])
        pairs = zip(found, self.leaves, strict=True)
        return forward, torch.cat([flat(g, leaf, 1) for g, leaf in pairs], dim=1)

    def near(self, own: Tensor, together: Tensor) -> bool:
        low = torch.is_autocast_enabled(own.device.type)
        allowed = NEAR[torch.bfloat16 if low else torch.float32]
        apart = (own - together).norm(dim=1)
        return bool((apart <= allowed * own.norm(dim=1) + 1e-7).all())

    def taught(self, each: Sequence[Sequence[Batch]]) -> list[Tensor] | None:
        """The teachers' logits (K, batch, outputs) of each step; None where there is no teacher."""
        pairs = zip(self.students, each, strict=True)
        given = [logits for student, batches in pairs if (logits := student.taught(batches))]
        return [torch.stack(step) for step in zip(*given, strict=True)] if given else None

    def terms(self, forward: Forward, batches: Sequence[Batch], taught: Tensor | None) -> Terms:
        if self.moves:
            for student in self.students:
                student.objective.progress(student.steps / student.total)
            self.objectives = self.numbered()
        logits = forward([batch.image for batch in batches])
        return self.objectives(logits, taught, torch.stack([batch.target for batch in batches]))

    def steps(self, each: Sequence[Sequence[Batch]], taught: list[Tensor] | None) -> None:
        assert self.forward is not None
        optimizers, sums = Optimizers(self.students, len(each[0])), dict[str, Tensor]()
        watched = [student for student in self.students if self.moves or follows(student)]
        for number, batches in enumerate(zip(*each, strict=True)):
            terms = self.terms(self.forward, batches, taught[number] if taught else None)
            if not self.students[0].sums and not number:
                self.log_gradient_shares(terms)
            terms["loss"].sum().backward()
            self.hand_out()
            optimizers.step(number)
            for student in watched:
                student.steps += 1
                student.updated()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.detach()
        for place, student in enumerate(self.students):
            for name, value in sums.items():
                student.sums[name] += value[place]
            student.sums["steps"] += len(each[0])
            student.steps += len(each[0]) if student not in watched else 0

    def hand_out(self) -> None:
        """Each student's part of the gradients."""
        for place, leaf in enumerate(self.leaves):
            gradient, leaf.grad = leaf.grad, None
            parts = [None] * len(self.students) if gradient is None else gradient.unbind()
            for trained, part in zip(self.trained, parts, strict=True):
                trained[place].grad = part

    def log_gradient_shares(self, terms: Terms) -> None:
        """What ``gradient_shares`` says of each student, for all in one pass a term."""
        weights = self.students[0].objective.term_weights()
        norms = {name: self.norm(terms[name], name, weight) for name, weight in weights.items()}
        for place, student in enumerate(self.students):
            own = student.objective.term_weights()
            each = {name: float(norm[place]) for name, norm in norms.items()}
            total = sum(each.values())
            student.weighed = {f"weight/{name}": weight for name, weight in own.items()}
            for name, norm in each.items():
                student.weighed[f"gradient/{name}"] = norm / total if total else 0.0

    def norm(self, term: Tensor, name: str, weight: float) -> Tensor:
        """Of the gradient of a weighted term, (K,)."""
        found: Sequence[Tensor | None] = ()
        if term.requires_grad:
            ask = partial(torch.autograd.grad, retain_graph=True, allow_unused=True)
            found = ask(term.sum(), self.leaves)
        squares = [g.float().flatten(1).square().sum(1) for g in found if g is not None]
        norm = torch.stack(squares).sum(0).sqrt() if squares else torch.zeros_like(term)
        return norm * self.objectives.weight(name, weight)


def follows(student: Student) -> bool:
    """Whether something has to follow each of its steps."""
    own = student.compression, student.constraints or None, student.ema
    return any(one is not None for one in own)


def flat(gradient: Tensor | None, like: Tensor, start: int = 0) -> Tensor:
    """From this dimension on; zeros where there is none."""
    return (torch.zeros_like(like) if gradient is None else gradient).flatten(start)


@torch.no_grad()
def stacked(each: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Each name's tensors in one, of which they become views, in their order in memory."""
    found: dict[str, Tensor] = {}
    for name, first in each[0].items():
        tensors = [own[name] for own in each]
        if first.dim() == 4 and first.is_contiguous(memory_format=torch.channels_last):
            whole = torch.stack([t.movedim(1, -1) for t in tensors]).movedim(-1, 2)
        else:
            whole = torch.stack(tensors)
        for tensor, part in zip(tensors, whole, strict=True):
            tensor.data = part
        found[name] = whole.requires_grad_(first.requires_grad)
    return found
