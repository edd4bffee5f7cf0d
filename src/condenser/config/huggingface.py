"""A folder as Hugging Face lays it out, as settings: what its config.json says is in the config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from condenser.errors import ConfigError, DamagedError
from condenser.files import read_json

TARGET = "condenser.models.transformers_model"
# Of the file and of its classes, which the data decide; and what would name code.
LEFT_OUT = (
    *("architectures", "transformers_version", "torch_dtype", "dtype", "_name_or_path", "auto_map"),
    *("id2label", "label2id", "num_labels", "model_type", "problem_type", "gradient_checkpointing"),
)


def inline(model: dict[str, Any], key: str) -> None:
    """Replace a folder's name by what its config.json says, in place: a kind and its settings.

    A stored model is then whole in itself, and what determines a result is in its key.

    Raises:
        ConfigError: the folder's file is damaged or names no kind of network.
    """
    if model.get("_target_") != TARGET or not isinstance(asked := model.get("architecture"), str):
        return
    folder = Path(asked).expanduser()
    if not (folder / "config.json").is_file():
        return
    try:
        found = read_json(folder / "config.json")
        kind = found["model_type"]
    except (DamagedError, KeyError) as error:
        allowed = "a folder whose config.json names a model_type"
        raise ConfigError(f"{key}.architecture", asked, allowed) from error
    own = {name: value for name, value in found.items() if name not in LEFT_OUT}
    if model.get("name") == asked:
        model["name"] = folder.resolve().name
    model |= {"architecture": kind, "settings": own | dict(model.get("settings") or {})}
