"""What named submodules give and take, seen through hooks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from condenser.errors import CondenserError, ConfigError

NAME = re.compile(r"(?P<path>[^:#]*)(?P<input>:input)?(#(?P<call>\d+))?")


class Spot(NamedTuple):
    """A tensor in a network: submodule ``path``'s input or output, in call number ``call``."""

    path: str
    input: bool
    call: int

    @property
    def where(self) -> str:
        return self.path + ":input" * self.input


class Mark(NamedTuple):
    """A tensor as it was when seen: autograd counts its changes in place in ``_version``."""

    key: tuple[str, bool]
    tensor: Tensor
    version: int
    copied: bool


class Capture:
    """Tensors of ``model``'s submodules as its forward passes make them; the model stays as it is.

    A name is a submodule's path: ``layer2`` is its output, ``layer2:input`` what goes into it.
    Where it is called several times in a forward, the last call counts; ``relu#0`` is the first.
    Paths are those of the network itself also when it is wrapped for DDP or compiled.

    What a later layer overwrites in place is copied first: everything in the first forward, from
    then on only what was found to be overwritten (always, in a compiled model).

    A compiled model does not see later hooks, so opening one makes torch compile it anew: open it
    once for the whole of training, not once a step.

    Example::

        with Capture(model, ["layer2", "fc:input"]) as capture:
            logits, features = model(image), capture.take()

    Raises:
        ConfigError: a name that is not a layer; ``key`` is the setting that it comes from.
    """

    def __init__(self, model: nn.Module, names: Sequence[str], key: str = "layers") -> None:
        self.model, self.names = bare(model), tuple(names)
        self.spots = {name: spot(self.model, name, key) for name in self.names}
        self.seen: dict[str, list[Tensor]] = {s.where: [] for s in self.spots.values()}
        self.marks: list[Mark] = []
        self.overwritten: dict[tuple[str, bool], bool] = {}
        self.handles: list[RemovableHandle] = []

    def open(self) -> Self:
        """Register the hooks."""
        if not self.handles and self.spots:
            if any(m._compiled_call_impl is not None for m in self.model.modules()):
                torch.compiler.reset()
            self.handles = [self.model.register_forward_pre_hook(self._begin)]
            spots = {s.where: s for s in self.spots.values()}
            self.handles += [self._watch(s) for s in spots.values()]
        return self

    def close(self) -> None:
        """Remove them, and forget what was seen."""
        for handle in self.handles:
            handle.remove()
        self.handles = []
        self._begin()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self) -> dict[str, Tensor]:
        """What the last forward made, by name. It is the caller's now: a second call finds nothing.

        Raises:
            CondenserError: a layer that this forward did not call (often enough).
        """
        self._learn()
        found = {name: self._find(name) for name in self.names}
        self._begin()
        return found

    def _find(self, name: str) -> Tensor:
        calls, call = self.seen[self.spots[name].where], self.spots[name].call
        if not -len(calls) <= call < len(calls):
            late = "" if self.handles else ", and its hooks are not in place: use open()"
            raise CondenserError(f"layers={name}: the last forward called it {len(calls)}×{late}")
        return calls[call]

    def _begin(self, *_: Any) -> None:
        """A new forward starts."""
        self.marks.clear()
        for calls in self.seen.values():
            calls.clear()

    def _watch(self, spot: Spot) -> RemovableHandle:
        module = self.model.get_submodule(spot.path)
        if spot.input:
            return module.register_forward_pre_hook(
                lambda _, args, kwargs: self._keep(spot.where, [*args, *kwargs.values()][0]),
                with_kwargs=True,
            )
        return module.register_forward_hook(lambda _, args, out: self._keep(spot.where, out))

    def _keep(self, where: str, tensor: Any) -> None:
        if not isinstance(tensor, Tensor):
            raise CondenserError(f"layers={where}: gives a {type(tensor).__name__}, not a tensor")
        if torch.compiler.is_compiling() or tensor.is_inference():  # these count no versions
            self.seen[where].append(tensor.clone())
            return
        key = (where, self.model.training)
        copied = self.overwritten.get(key, True)
        self.marks.append(Mark(key, tensor, tensor._version, copied))
        self.seen[where].append(tensor.clone() if copied else tensor)

    def _learn(self) -> None:
        """Note which of the tensors seen were changed since."""
        for mark in self.marks:
            changed = mark.tensor._version != mark.version
            if changed and not mark.copied:
                raise CondenserError(f"layers={mark.key[0]}: was overwritten, this time only")
            first = mark.key not in self.overwritten
            self.overwritten[mark.key] = changed or (not first and self.overwritten[mark.key])


def bare(model: nn.Module) -> nn.Module:
    """The network inside what DDP and torch.compile wrap around it."""
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def spot(model: nn.Module, name: str, key: str) -> Spot:
    """The place in ``model`` that ``name`` means."""
    match = NAME.fullmatch(name)
    paths = dict(model.named_modules())
    if match is None or match["path"] not in paths:
        asked = name.partition(":")[0].partition("#")[0]
        children = [path for path, _ in model.named_children()]
        near = ", ".join(get_close_matches(asked, paths, n=5, cutoff=0.4) or children)
        form = "a layer's path, with :input for what goes into it and #0 for its first call"
        raise ConfigError(key, name, form, f"nearest in {type(model).__name__}: {near}")
    return Spot(match["path"], bool(match["input"]), int(match["call"] or -1))
