"""Condenser: the smallest network that keeps the accuracy.

    import condenser as cz

    data = cz.data(images, labels)
    small = cz.compress(Net, weights, data, recipe=[{"prune": {"rate": 0.8}}, "quantize"])
    small.record["test/accuracy"], small.export("out")

Names are loaded on first use: torch is not imported before it is needed.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from condenser.api import compress, load, records
    from condenser.data.handed_over import given as data
    from condenser.errors import CondenserError

__version__ = "0.1.0"
__all__ = ["CondenserError", "compress", "data", "load", "records"]

_HOMES = {"load": "api", "records": "api", "CondenserError": "errors"}
_CALLED = {"compress": ("api", "compress"), "data": ("data.handed_over", "given")}


class _Called(ModuleType):
    """A package that is called as the function of the same name: ``condenser.data(images)``."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        module, function = _CALLED[self.__name__.rpartition(".")[2]]
        return getattr(import_module(f"{__name__}.{module}"), function)(*arguments, **settings)


class _Condenser(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        """Importing a package sets it here, whoever does so."""
        if name in _CALLED and isinstance(value, ModuleType):
            value.__class__ = _Called
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Condenser


def __getattr__(name: str) -> Any:
    if name in _CALLED:
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
