"""Which students make their steps together, and those that do not, by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch

from condenser.data import Batch
from condenser.runs.turns import current
from condenser.tasks import Task
from condenser.training.population import objectives
from condenser.training.population.optimizers import KINDS
from condenser.training.population.stack import NotTogether, Stack
from condenser.training.state import foreign

if TYPE_CHECKING:
    from condenser.training.student import Student

PRECISIONS = ("32-true", "bf16-mixed")


@dataclass(eq=False)
class Asked:
    """A student's next batches; what is left of them it trains on alone."""

    student: Student
    batches: Sequence[Batch]


def left_of(student: Student, batches: Sequence[Batch]) -> Sequence[Batch]:
    """Have a student of a population trained; the batches that it has to train on by itself."""
    turn = current.get()
    if turn is None:
        return batches
    asked = Asked(student, batches)
    kind = student.device.type
    low, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    torch.set_autocast_enabled(kind, False)  # of this thread, which others go on in
    turn.wait(asked)
    torch.set_autocast_enabled(kind, low)
    torch.set_autocast_dtype(kind, dtype)
    return asked.batches


def refusal(student: Student) -> str | None:
    """Why its steps are its own; None where others can share them."""
    plan, objective, task = student.plan, student.objective, student.data.task
    reasons = {
        "its network draws at random": draws(student),
        f"{task.word} data ask for a part of the outputs": (
            type(task).decisions is not Task.decisions
        ),
        f"{objective.method} is no function of the logits alone": not objectives.fits(objective),
        f"{type(student.optimizer).__name__} does not take each weight for itself": (
            type(student.optimizer) not in KINDS
        ),
        "gradients are clipped or accumulated": plan.clip is not None or plan.accumulate > 1,
        f"trainer.precision={student.trainer.precision}": (
            student.trainer.precision not in PRECISIONS
        ),
        "several processes train it": student.peers.size > 1,
        f"{type(student).__name__} has steps of its own": len(student.networks()) > 2,
        "its network is compiled": getattr(student.model, "_compiled_call_impl", None) is not None,
    }
    return next((why for why, so in reasons.items() if so), None)


def draws(student: Student) -> bool:
    """Whether its steps need random numbers; what others' code draws shows in its gradients."""
    dropouts = any(getattr(module, "p", 0) for module in student.model.modules())
    return student.stochastic and (dropouts or not foreign(student.model))


def kind_of(student: Student) -> Hashable:
    """What students have in common that may make their steps together."""
    model = student.model
    parameters = [(name, p.shape, p.requires_grad) for name, p in model.named_parameters()]
    return (
        type(student),
        repr(model),
        *parameters,
        *[module.training for module in model.modules()],
        objectives.rest(student.objective),
        student.trainer.precision,
        type(student.optimizer),
    )


class Population:
    """Serves those who ask: a stack of weights for each group of students that are alike.

    Args:
        tell: called with a line for each reason why some are not trained together.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self.stacks: dict[tuple[Student, ...], Stack] = {}
        self.kinds: WeakKeyDictionary[Student, Hashable] = WeakKeyDictionary()
        self.refused: dict[Hashable, str] = {}
        self.told: set[str] = set()

    def serve(self, asked: Sequence[Asked]) -> None:
        """A step on each of the batches, where there are several students for it."""
        alike: dict[tuple[Hashable, ...], list[Asked]] = defaultdict(list)
        for one in asked:
            alike[self.group_of(one)].append(one)
        stacks, self.stacks = self.stacks, {}
        for (kind, *_), some in alike.items():
            students = tuple(one.student for one in some)
            if why := self.refused.get(kind) or refusal(students[0]):
                self.say(f"{len(some)} jobs in turn, not together: {why}")
            elif len(some) > 1:
                self.stacks[students] = stacks.get(students) or Stack(students)
                self.train(self.stacks[students], some, kind)

    def group_of(self, asked: Asked) -> tuple[Hashable, ...]:
        """What is the same of all that make these steps together; its kind first."""
        student = asked.student
        kind = self.kinds.get(student) or self.kinds.setdefault(student, kind_of(student))
        shapes = [(b.image.shape, b.target.shape, b.target.dtype) for b in asked.batches]
        return kind, bool(student.sums), *shapes

    def train(self, stack: Stack, some: Sequence[Asked], kind: Hashable) -> None:
        try:
            stack.learn([one.batches for one in some])
        except NotTogether as error:  # after a step of their own
            self.refused[kind] = str(error)
            for one in some:
                one.batches = one.batches[1:]
        else:
            for one in some:
                one.batches = ()

    def say(self, line: str) -> None:
        """Once."""
        if line not in self.told:
            self.told.add(line)
            self.tell(line)
