"""Compress a network from Python: the same stages, store and records as the command line."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra import compose
from omegaconf import OmegaConf
from safetensors.torch import save
from torch import Tensor, nn

from condenser import models
from condenser.config import schema
from condenser.config.compose import composing
from condenser.config.error_messages import can_be_mended, explain
from condenser.config.run_name import shortened
from condenser.data.arrays import as_images
from condenser.data.handed_over import Given
from condenser.errors import CondenserError, ConfigError, NoSuchKeyError
from condenser.files import write_whole
from condenser.models import weights as own_weights
from condenser.pipeline import deliver
from condenser.pipeline.key import digest
from condenser.pipeline.plan import make_plan, merge
from condenser.pipeline.reopen import saved_config, stored
from condenser.pipeline.resolve import name_models
from condenser.pipeline.run import run
from condenser.runs import records as kept
from condenser.runs.records import Record
from condenser.store import stored_at

if TYPE_CHECKING:
    import pandas as pd

Network = str | nn.Module | Callable[..., nn.Module]
Weights = str | Path | Mapping[str, Tensor] | None
FRESH = ("teacher", "student")  # stages that a recipe may begin with
PLAIN = (bool, int, float, str, type(None))


class Loaded(NamedTuple):
    """A stage's network, in eval mode, and its record."""

    model: nn.Module
    record: Record


@dataclass(frozen=True)
class Compressed:
    """What ``compress`` made: a run in ``folder``, as the command line makes it.

    Attributes:
        config: the run's, whole.
        records: one for each stage, in their order.
    """

    config: Mapping[str, Any]
    records: Sequence[Record]

    @property
    def folder(self) -> Path:
        return make_plan(self.config).folder

    @property
    def record(self) -> Record:
        """Of the recipe's last stage: accuracy, sizes, latency, settings, lineage."""
        return kept.final(self.records)

    @property
    def model(self) -> nn.Module:
        """The network of the recipe's last stage, in eval mode."""
        return network(self.config, self.record)

    def export(self, out: str | Path | None = None, **settings: Any) -> Path:
        """Write the bundle to deploy; returns the file in it.

        Args:
            out: its folder; None: ``bundle`` in the run's.
            settings: of ``export`` in conf/train.yaml, such as ``target="openvino"``.
        """
        folder = None if out is None else Path(out)
        return deliver.export(self.config, folder, None, settings)[1]


def compress(
    model: Network,
    weights: Weights = None,
    data: Given | str = "digits",
    *,
    recipe: str | Sequence[Any] = ("quantize",),
    student: Network | None = None,
    folder: str | Path = "runs",
    name: str = "api",
    seed: int = 0,
    **settings: Any,
) -> Compressed:
    """Run a recipe on a network; every result comes from the store if it is there.

    Args:
        model: the large network: its class (``functools.partial`` for arguments), an instance, or
            a name of conf/model. The class must be importable, as ``python -c "import mine"`` is.
        weights: its state_dict, a file or folder that ``teacher.load`` takes, or None: an
            instance's own; a class is trained on labels.
        data: of ``condenser.data``, or a name of conf/data. Where weights are given and no mean,
            the network is taken to see floats as they are and pixels on 0…1.
        recipe: stages with their settings, or a name of conf/recipe. A teacher is put before it.
        student: the small network that ``distill`` and ``student`` train.
        settings: sections of the config: a name for a file of conf (``distill="dkd"``), a mapping
            for values (``optim={"epochs": 5}``).

    Raises:
        CondenserError: a line for each bad setting, before training.
    """
    given = Given(data) if isinstance(data, str) else data
    if isinstance(model, nn.Module) and weights is None:
        weights = own_weights.kept(model)
    ready = isinstance(weights, Mapping)
    if weights is not None and "mean" not in given.settings and given.option == "arrays":
        channels = channels_of(given)
        scale = {"mean": [0.0] * channels, "std": [1.0] * channels}
        given = replace(given, settings={**given.settings, **scale})
    root = Path(folder)
    config = composed(given, root, recipe, {"teacher": model, "student": student}, settings)
    config |= {"runs": str(root), "store": str(root / ".store"), "name": name, "seed": seed}
    config["teacher"]["seed"] = seed
    if ready:
        config["teacher"]["load"] = str(written(weights, root / ".given"))  # type: ignore[arg-type]
    elif weights is not None:
        config["teacher"]["load"] = str(weights)
    plan = make_plan(config)
    config["run"] = shortened("-".join([*plan.words, digest(config)[:8]]))
    schema.check(config)
    return Compressed(config, run(make_plan(config)))


def load(folder: str | Path, stage: int | str | None = None, trust: Sequence[str] = ()) -> Loaded:
    """The network and the record of a finished run.

    Args:
        folder: the run's.
        stage: its position from 0, or its name, of which the last counts; None: the recipe's last.
        trust: packages whose networks the run may name: a stored file does not decide what code
            runs.

    Raises:
        CondenserError: no folder of a run, no such stage, or a damaged file.
    """
    config = saved_config(Path(folder), trust)
    if isinstance(stage, str):
        found = [r for r in kept.read([Path(folder)]) if r["stage"] == stage]
        if not found:
            stages = {str(r["stage"]) for r in kept.read([Path(folder)])}
            raise ConfigError("stage", stage, f"one of {', '.join(sorted(stages))}")
        record = found[-1]
    else:
        record = stored(Path(folder), stage)
    return Loaded(network(config, record), record)


def records(*folders: str | Path) -> pd.DataFrame:
    """The records below run folders, experiments or a runs root: a row for each stage's model."""
    import pandas as pd  # the rest does without

    return pd.DataFrame([dict(record) for record in kept.read(folders)])


def network(config: Mapping[str, Any], record: Record) -> nn.Module:
    """The network of a record, from the store."""
    targets = tuple(config[role]["model"]["_target_"] for role in ("teacher", "student"))
    return stored_at(config, record).load(targets)[1]


def composed(
    given: Given,
    root: Path,
    recipe: str | Sequence[Any],
    networks: Mapping[str, Network | None],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """The config that these choices make of conf/train.yaml."""
    words = ["run=api", "logger=csv", f"data={given.option}"]
    words += [f"model@{role}.model={net}" for role, net in networks.items() if isinstance(net, str)]
    words += [f"{key}={word}" for key, word in settings.items() if isinstance(word, str)]
    words += [f"recipe={recipe}"] if isinstance(recipe, str) else []
    try:
        with composing():
            cfg = compose("train", words)
            config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
            if not isinstance(recipe, str):
                config["recipe"] = {"stages": begun(recipe)}
            for section, values in settings.items():
                if not isinstance(values, str):
                    config[section] = merged(config, section, values)
            name_models(config)
    except Exception as error:
        if not can_be_mended(error):
            raise
        raise CondenserError(explain(error)) from error
    config["data"] = merge(config["data"], given.section(root / ".given"), "data")
    for role, net in networks.items():
        if net is not None and not isinstance(net, str):
            config[role]["model"] = architecture(net, role)
    return config


def begun(recipe: Sequence[Any]) -> list[Any]:
    """The recipe's stages, with a teacher before them."""
    first = recipe[0] if recipe else None
    word = next(iter(first), None) if isinstance(first, Mapping) else first
    return [*(() if word in FRESH else ("teacher",)), *recipe]


def merged(config: Mapping[str, Any], section: str, values: Any) -> Any:
    """A section of the config with these values; ConfigError for one that is not there."""
    if section not in config:
        raise NoSuchKeyError(section, config)
    own = config[section]
    both = isinstance(own, Mapping) and isinstance(values, Mapping)
    return merge(own, values, section) if both else values


def architecture(net: Callable[..., nn.Module] | nn.Module, role: str) -> dict[str, Any]:
    """``_target_``, name and settings of a class, a partial or an instance.

    Raises:
        ConfigError: it cannot be imported, or an instance's arguments cannot be told.
    """
    made = net if isinstance(net, nn.Module) else None
    kind = type(net) if made is not None else net.func if isinstance(net, partial) else net
    path = f"{kind.__module__}.{kind.__qualname__}"  # type: ignore[union-attr]
    if kind.__module__ == "__main__" or "<locals>" in path:
        allowed = "a class that can be imported: put it into a file of its own"
        raise ConfigError(f"{role}.model", path, allowed)
    own = dict(net.keywords) if isinstance(net, partial) else arguments(made) if made else {}
    return {"_target_": path, "name": kind.__qualname__.lower(), **own}


def arguments(made: nn.Module) -> dict[str, Any]:
    """The arguments that an instance keeps as attributes of the same name, but for defaults."""
    parameters = inspect.signature(type(made)).parameters.values()
    kept_as = {p.name: getattr(made, p.name) for p in parameters if hasattr(made, p.name)}
    given = {p.name for p in parameters if p.name in models.GIVEN}
    return {
        name: value
        for name, value in kept_as.items()
        if name not in given and isinstance(value, PLAIN)
    }


def written(weights: Mapping[str, Tensor], folder: Path) -> Path:
    """A file of these weights, as ``teacher.load`` takes it."""
    content = save({key: tensor.detach().cpu().clone() for key, tensor in weights.items()})
    place = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, content)
    return place


def channels_of(given: Given) -> int:
    """Channels of its images, as they will be read."""
    images = next(array for name, array in given.arrays.items() if name.endswith("images"))
    return int(as_images(images[:1], given.settings.get("source", {}).get("layout")).shape[1])
