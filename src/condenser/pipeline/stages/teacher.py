"""teacher: the large network, trained on labels, or taken ready-made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.errors import CondenserError, ConfigError, shown
from condenser.files import read_json, sha256, sha256_once
from condenser.outside import trust
from condenser.pipeline.stages.base import RunContext, StageInputs, StageResult
from condenser.pipeline.stages.training import TrainingStage, nameless
from condenser.store import StageDir, load, model_folder

if TYPE_CHECKING:
    from torch import nn

    from condenser.checkpoint.model_spec import ModelSpec
    from condenser.data import DataModule


class Teacher(TrainingStage):
    """Trains ``teacher.model`` under ``teacher.seed``.

    With ``teacher.input`` it sees images of its own size and normalisation. With ``teacher.load``
    nothing is trained: it is the model in that folder, whatever task it was made for, or
    ``teacher.model`` with the weights of a file that other code has written.
    """

    word: ClassVar[str] = "teacher"
    color: ClassVar[str] = "#000000"
    marker: ClassVar[str] = "s"
    teaches: ClassVar[bool] = True

    @property
    def architecture(self) -> Mapping[str, Any]:
        return self.settings["model"]

    @property
    def seed(self) -> int:
        return self.settings["seed"]

    @property
    def epochs(self) -> int:
        return super().epochs if self.settings["load"] is None else 0

    @property
    def files(self) -> list[Path]:
        """The files of weights that ``load`` names, written by other code."""
        from condenser.checkpoint.importing import weight_files

        asked = self.settings["load"]
        return [] if asked is None else weight_files(Path(asked).expanduser())

    @property
    def folder(self) -> Path | None:
        """The ready-made model's: one with a model.json, or a run's, whose last model it is."""
        asked = self.settings["load"]
        return None if asked is None or self.files else model_folder("teacher.load", Path(asked))

    @property
    def foreign(self) -> Mapping[str, Any]:
        """How a file of other code is read."""
        return self.settings.get("file") or {}

    def ingredients(self) -> dict[str, Any]:
        if self.folder is not None:
            file = self.folder / "model.json"  # it holds the weights' hash
            return {"load": sha256(file), "architecture": read_json(file).get("architecture")}
        seen = self.settings["input"]
        own = {"input": seen} if any(seen.values()) else {}
        if not self.files:
            return super().ingredients() | own
        read = {"keys": self.rules(), "entry": self.foreign.get("entry"), "new": self.new}
        digests = [sha256_once(file) for file in self.files]
        return {"load": digests, "architecture": nameless(self.architecture), "read": read} | own

    @property
    def new(self) -> list[str]:
        """Layers that keep their first weights."""
        from condenser.compress.patterns import listed

        return listed("teacher.file.new", self.foreign.get("new") or [])

    def rules(self) -> Any:
        """The map of names itself, where the config names a file."""
        from condenser.checkpoint.importing.names import ORDER, read_rules

        keys = self.foreign.get("keys")
        return ORDER if keys == ORDER else dict(read_rules(keys, "teacher.file.keys"))

    def described(self) -> dict[str, Any]:
        """Of a file of other code whether it has seen what chooses; nothing of how it is read."""
        found = super().described()
        rest = {k: v for k, v in found.items() if not k.startswith("teacher/file/")}
        seen = self.foreign.get("seen_validation", True)
        return rest | ({"teacher/file/seen_validation": seen} if self.files else {})

    def check(self, ctx: RunContext) -> None:
        super().check(ctx)
        if self.files:
            self.imported(ctx)

    def spec(self, ctx: RunContext) -> ModelSpec:
        from condenser.checkpoint.input_adapter import adapter

        plain, seen = super().spec(ctx), self.settings["input"]
        if plain.vocabulary is not None:
            return plain
        data = (ctx.data.mean, ctx.data.std)
        mean, std = seen["mean"] or data[0], seen["std"] or data[1]
        if len(mean) != len(std):
            allowed = f"as many numbers as teacher.input.mean={mean}"
            raise ConfigError("teacher.input.std", std, allowed)
        size = [seen["size"]] * 2 if seen["size"] else plain.input_shape[1:]
        shape = (len(mean), *size)
        own = replace(plain, input_shape=shape, normalisation=(mean, std))
        return own.then(adapter(shape, (mean, std), plain.input_shape, data))

    def example(self, ctx: RunContext) -> nn.Module:
        return super().example(ctx) if self.folder is None else self.loaded(ctx)[1]

    def run(self, ctx: RunContext, inputs: StageInputs, place: StageDir) -> StageResult:
        if self.folder is not None:
            return StageResult(*self.loaded(ctx))
        return self.imported(ctx) if self.files else super().run(ctx, inputs, place)

    def imported(self, ctx: RunContext) -> StageResult:
        """``teacher.model`` with the weights of the file, and where they were found."""
        import torch

        from condenser.checkpoint.importing import load_weights

        torch.manual_seed(self.first)  # of what stays new
        spec = self.spec(ctx)
        model = spec.build(ctx.trusted)
        entry = self.foreign.get("entry")
        found = load_weights(model, self.settings["load"], self.rules(), entry, self.new)
        said = {"entry": found.entry, "prefix": found.prefix, "ignored": ", ".join(found.ignored)}
        facts = {f"teacher/file/{key}": word for key, word in said.items() if word}
        return StageResult(spec, model.eval(), facts)

    def read(self, ctx: RunContext) -> tuple[ModelSpec, nn.Module]:
        """The ready-made model as it was stored; ConfigError where nobody named its network."""
        from condenser.checkpoint import model_spec

        assert self.folder is not None
        try:
            return load(self.folder, ctx.trusted)
        except CondenserError as error:
            causes = error.__cause__, getattr(error.__cause__, "__cause__", None)
            if not any(isinstance(cause, trust.Distrusted) for cause in causes):
                raise
            stored = read_json(self.folder / model_spec.MODEL)
            target = shown(stored["architecture"]["_target_"])
            raise ConfigError(
                "teacher.load",
                self.settings["load"],
                "a network of condenser.models, or one that you name",
                f"add model@teacher.model=NAME, conf/model/NAME.yaml with _target_: {target}",
            ) from error

    def loaded(self, ctx: RunContext) -> tuple[ModelSpec, nn.Module]:
        """The ready-made model, with the input adapter that these data ask for."""
        from condenser.checkpoint.input_adapter import InputAdapter, adapter
        from condenser.models import weights

        assert self.folder is not None
        found, model = self.read(ctx)
        fit_ids(found, ctx.data)
        inputs = (ctx.data.mean, ctx.data.std)
        own = found.normalisation or inputs
        bare = replace(
            found, operations=tuple(o for o in found.operations if type(o) is not InputAdapter)
        )
        if found.vocabulary is None:
            bare = bare.then(adapter(found.input_shape, own, ctx.data.input_shape, inputs))
        fitted = bare
        again = fitted.build(ctx.trusted)
        weights.fill(again, model.state_dict())
        return fitted, again.eval()


def fit_ids(found: ModelSpec, data: DataModule) -> None:
    """ConfigError for a network whose token ids are not the data's, or that has too few places."""
    key, shown_as = "teacher.load", "a network that was trained on the same kind of inputs"
    if (found.vocabulary is None) != (data.vocabulary is None):
        kinds = [("token ids" if ids else "numbers") for ids in (found.vocabulary, data.vocabulary)]
        raise ConfigError(key, f"a network of {kinds[0]}", shown_as, f"{data.name} has {kinds[1]}")
    if found.vocabulary is None or data.vocabulary is None:
        return
    if found.vocabulary != data.vocabulary:
        allowed = "a network with the tokenizer of the data"
        raise ConfigError(
            key, f"{found.vocabulary.size} token ids", allowed, "data.source.tokenizer"
        )
    if found.input_shape[-1] < data.input_shape[-1]:
        allowed = f"one of {data.input_shape[-1]} or more, the longest of {data.name}"
        raise ConfigError(key, f"a network of {found.input_shape[-1]} places", allowed)
