"""Explain why a network cannot be exported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from condenser.capture import watching
from condenser.errors import CondenserError

FIXED = re.compile(r"inferred a static shape|Constraints violated")
MISSING = re.compile(r"No ONNX function found.*?op='(\w+)\.(\w+)'", re.S)


@contextmanager
def refusing(what: str, model: nn.Module, example: Tensor) -> Iterator[None]:
    """Turn any exception inside into a one-line CondenserError that names the layer.

    Args:
        what: the attempt, as in ``ONNX export``.
        example: two images or more.
    """
    try:
        yield
    except CondenserError:
        raise
    except Exception as error:
        layer, why = diagnosis(error, model, example)
        kind = type(model.get_submodule(layer)).__name__
        place = f"in {layer} ({kind})" if layer else f"in {kind}"
        raise CondenserError(f"{what} failed {place}: {why}") from error


def diagnosis(error: Exception, model: nn.Module, example: Tensor) -> tuple[str, str]:
    """The layer ('' for the network itself or unknown) and why it failed."""
    chain = causes(error)
    text = " ".join(str(chain[-1]).split()) or type(chain[-1]).__name__
    if operator := MISSING.search(text):
        layer = caller(model, example, "::".join(operator.groups()))
        return layer, f"its operator {'.'.join(operator.groups())} has no counterpart there"
    if any("DataDependent" in type(cause).__name__ for cause in chain):
        return running(chain, model), "it decides on the values of a tensor, which a graph cannot"
    if FIXED.search(text):
        layer = running(failure(model, example), model)
        return layer, "it fixes the number of images, and a file has to take any number"
    return running(chain, model), text[:200]


def causes(error: BaseException | None) -> list[BaseException]:
    """The exception chain, root cause last."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def running(chain: list[BaseException], model: nn.Module) -> str:
    """The innermost submodule in the tracebacks."""
    names = {id(module): name for name, module in model.named_modules()}
    found = [names.get(id(owner), "") for cause in chain for owner in owners(cause.__traceback__)]
    return next((name for name in reversed(found) if name), "")


def owners(traceback: TracebackType | None) -> Iterator[object]:
    """The ``self`` of every frame, outermost first."""
    while traceback is not None:
        yield traceback.tb_frame.f_locals.get("self")
        traceback = traceback.tb_next


def failure(model: nn.Module, example: Tensor) -> list[BaseException]:
    """What the network raises for a batch size it was not written for."""
    try:
        with torch.no_grad():
            model(torch.cat([example, example[:1]]))
    except Exception as error:
        return causes(error)
    return []


class Watch(TorchDispatchMode):
    """Records which submodule is running when an operator is called."""

    def __init__(self, operator: str, stack: list[str]) -> None:
        super().__init__()
        self.operator, self.stack, self.found = operator, stack, ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name == self.operator and not self.found:
            self.found = self.stack[-1] if self.stack else ""
        return func(*args, **(kwargs or {}))


def caller(model: nn.Module, example: Tensor, operator: str) -> str:
    """The submodule that calls ``operator``, as in aten::relu; '' if none does."""
    stack: list[str] = []
    names = [name for name, _ in model.named_modules()]

    def leave(*_: object) -> None:
        stack.pop()

    enters = watching(model, names, lambda name, *_: stack.append(name), before=True)
    with enters, watching(model, names, leave), torch.no_grad(), Watch(operator, stack) as watch:
        model(example)
    return watch.found
