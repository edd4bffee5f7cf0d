"""Objects from configs: the only file that calls hydra's instantiate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from condenser.errors import CondenserError


def build(config: Mapping[str, Any], **arguments: Any) -> Any:
    """The object that ``_target_`` names, its settings as plain Python values.

    Raises:
        CondenserError: the target cannot be found, or refuses its settings.
    """
    try:
        return instantiate(dict(config), _convert_="all", **arguments)
    except InstantiationException as error:
        raise CondenserError(reason(error, config.get("_target_"))) from error


def reason(error: InstantiationException, target: object) -> str:
    """The innermost cause in one line: a class's own refusal as it stands."""
    cause: BaseException = error
    while cause.__cause__ is not None and not isinstance(cause, CondenserError):
        cause = cause.__cause__
    text = " ".join(str(cause).split())
    return text if isinstance(cause, CondenserError) else f"{target}: {text}"
