"""Hash the user's own code that a config names, without importing it."""

from __future__ import annotations

import ast
import hashlib
import re
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, resolve_name
from pathlib import Path
from pkgutil import get_importer
from typing import Any

OURS = ("condenser", "hydra_plugins")  # a recipe's VERSION speaks for them
IN_EVERY_KEY = ("torch", "torchvision", "pytorch_lightning")  # their versions are numerics
# functions of ours that call a library by name
CALLS = {
    "condenser.models.timm_model": "timm",
    "condenser.models.transformers_model": "transformers",
}
INSTALLED = ("site-packages", "dist-packages")


def sources(settings: Any) -> dict[str, str]:
    """The code that the ``_target_`` entries name: part of what determines a result.

    A module outside this package that is not installed is identified by the sha256 of its file, as
    are its parent packages and all such modules it imports, also inside functions. An installed
    module is identified by its distribution's version. Empty if only this package and torch take
    part.

    Returns:
        module → 16 hex digits; distribution → version.
    """
    return of_targets(targets(settings))


def of_targets(paths: Iterable[str]) -> dict[str, str]:
    """``sources`` for dotted paths of modules or their members."""
    found: dict[str, str] = {}
    waiting, seen = [CALLS.get(path, path) for path in paths], set[str]()
    while waiting:
        for name, spec in modules(waiting.pop()):
            if name in seen:
                continue
            seen.add(name)
            if package := distribution(name.partition(".")[0]) if installed(spec) else None:
                found[package[0]] = package[1]
            elif (content := read(spec)) is not None:
                found[name] = hashlib.sha256(content).hexdigest()[:16]
                waiting += imports(content, name, spec)
    return dict(sorted(found.items()))


def in_words(found: Mapping[str, str]) -> str | None:
    """For messages, ``mine 3f2a91bc0d1e77aa, einops 0.8.1``: one hash per package, versions."""
    tops: dict[str, list[str]] = {}
    for name, value in sorted(found.items()):
        tops.setdefault(name.partition(".")[0], []).append(f"{name} {value}")
    words = (of_top(name, lines) for name, lines in tops.items())
    return ", ".join(words) or None


def of_top(name: str, lines: list[str]) -> str:
    if len(lines) == 1 and lines[0].startswith(f"{name} "):
        return lines[0]
    return f"{name} {hashlib.sha256(' '.join(lines).encode()).hexdigest()[:16]}"


def targets(settings: Any) -> Iterator[str]:
    """Every dotted path that is instantiated, or fetched by hydra's ``get_`` functions."""
    if isinstance(settings, Mapping):
        target = settings.get("_target_")
        if isinstance(target, str):
            yield target
            if target.startswith("hydra.utils.get_") and isinstance(settings.get("path"), str):
                yield settings["path"]
    if isinstance(settings, Mapping | list | tuple):
        inner = settings.values() if isinstance(settings, Mapping) else settings
        for value in inner:
            yield from targets(value)


def modules(path: str) -> Iterator[tuple[str, ModuleSpec]]:
    """The modules executed by importing ``path``, packages first; ours and the stdlib left out."""
    name, places = "", list[str]()
    for word in path.split("."):
        name = f"{name}.{word}".lstrip(".")
        if name in (*OURS, *IN_EVERY_KEY):
            return
        spec = below(name, places) if places else top(name)
        if spec is None or pythons(spec):
            return
        yield name, spec
        if spec.submodule_search_locations is None:
            return
        places = list(spec.submodule_search_locations)


def top(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except (ImportError, ValueError):  # __main__ has none
        return None


def below(name: str, places: Iterable[str]) -> ModuleSpec | None:
    """Locate a submodule without importing its package, as ``find_spec`` would."""
    importers = filter(None, map(get_importer, places))
    found = [spec for importer in importers if (spec := importer.find_spec(name))]
    return next((spec for spec in found if spec.loader), found[0] if found else None)


def pythons(spec: ModuleSpec) -> bool:
    """Whether it belongs to the standard library."""
    place = place_of(spec)
    if place is None:
        return spec.origin in ("built-in", "frozen")
    own = (Path(sysconfig.get_path(which)) for which in ("stdlib", "platstdlib"))
    return not installed(spec) and any(place.is_relative_to(folder) for folder in own)


def installed(spec: ModuleSpec) -> bool:
    place = place_of(spec)
    return place is not None and not set(INSTALLED).isdisjoint(place.parts)


def place_of(spec: ModuleSpec) -> Path | None:
    """The file of a module, or the folder of a package without one."""
    if spec.has_location and spec.origin:
        return Path(spec.origin)
    return next((Path(place) for place in spec.submodule_search_locations or ()), None)


def read(spec: ModuleSpec) -> bytes | None:
    """The module's source, also inside a zip; None if there is none."""
    if not spec.has_location or spec.origin is None:
        return None
    get_data = getattr(spec.loader, "get_data", None)
    try:
        return get_data(spec.origin) if get_data else Path(spec.origin).read_bytes()
    except OSError:
        return None


def imports(content: bytes, name: str, spec: ModuleSpec) -> Iterator[str]:
    """The modules a module imports; nothing for one that is not Python source."""
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    try:
        nodes = list(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError):
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = whole("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)
        elif isinstance(node, ast.Call) and (named := by_name(node)):
            yield whole(named, package)


def by_name(call: ast.Call) -> str | None:
    """``mine.part`` of ``import_module("mine.part")`` and ``__import__("mine.part")``."""
    function = ast.unparse(call.func).rpartition(".")[2]
    if function not in ("import_module", "__import__") or not call.args:
        return None
    first = call.args[0]
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        return first.value
    return None


def whole(name: str, package: str) -> str:
    """Resolve a relative import; nothing if it leads out of its package."""
    try:
        return resolve_name(name, package or None)
    except ImportError:
        return ""


@cache
def distribution(package: str) -> tuple[str, str] | None:
    """Name and version of the distribution that installed a top-level package."""
    try:
        found: Any = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        start = re.compile(rf"^{package}[/.]", re.M)
        records = ((one, one.read_text("RECORD") or "") for one in metadata.distributions())
        found = next((one for one, record in records if start.search(record)), None)
    return found and (found.name, found.version)
