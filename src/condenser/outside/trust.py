"""Which code stored data may name: the only path from a dotted name in a file to an import.

The command line and the files of conf/ are the user's own and may name anything importable. A
file in a run, a store or a download is data: by a name in it only these can be reached

- the public classes of this package that configs are made of, its networks and its pure functions;
- what a file of conf/ names, such as torch.optim.AdamW;
- what was trusted on today's command line: ``--trust mypackage``, or a dotted path as it stands.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from condenser.errors import CondenserError, nearest, shown
from condenser.files import CONF

PACKAGE = __name__.partition(".")[0]
PARTS = ("models", "data", "distill", "inherit", "compress", "functional")
CALLED = ("models", "functional")  # where functions are public, too
RULE = "a stored file does not decide what code runs"


class Distrusted(CondenserError):
    """A name in stored data that is not trusted."""


def find(
    path: object,
    trusted: Sequence[str] = (),
    parts: Sequence[str] = PARTS,
    conf: Path = CONF,
) -> Any:
    """The class or function that stored data names by ``path``.

    Args:
        trusted: dotted paths, and packages, that today's command line names.
        parts: of this package, those whose public names will do.
        conf: the folder whose files' names will do.

    Raises:
        Distrusted: it is not trusted, or does not exist.
    """
    name = path if isinstance(path, str) else ""
    if "." not in name or not all(word.isidentifier() for word in name.split(".")):
        raise Distrusted("it must be the dotted path of one class or function")
    if (found := own(name, parts)) is not None:
        return found
    if name in trusted or name in named(conf):
        return imported(name)
    package = name.partition(".")[0]
    if package in sys.stdlib_module_names:
        raise Distrusted(RULE)
    for word in trusted:
        if name.startswith(f"{word}."):
            return below(word, imported(name))
    if package == PACKAGE:
        raise Distrusted(f"{RULE}, and this is no public class of {PACKAGE}")
    raise Distrusted(f"{RULE}; if you know this code, name it: --trust {package}")


def own(name: str, parts: Sequence[str]) -> Any:
    """A public class of this package where it is defined, or where its package shows it."""
    module, _, last = name.rpartition(".")
    package, *inner = module.split(".")
    if package != PACKAGE or not inner or inner[0] not in parts:
        return None
    if any(word.startswith("_") for word in (*inner, last)) or not exists(module):
        return None
    found = getattr(import_module(module), last, None)
    home = getattr(found, "__module__", None) or ""
    # what a module merely imports is defined elsewhere
    public = f"{home}.".startswith(f"{module}.") and home != f"{PACKAGE}.{inner[0]}"
    called = inner[0] in CALLED and callable(found)
    return found if public and (called or isinstance(found, type)) else None


def exists(module: str) -> bool:
    """Whether it is a module rather than an attribute of one."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def imported(name: str) -> Any:
    """A trusted member of a module; a path never walks on through attributes."""
    file, _, last = name.rpartition(".")
    try:
        module = import_module(file)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{file}.".startswith(f"{error.name}."):
            raise  # the module is there, and what it imports is not
        raise Distrusted(str(error)) from error
    if not callable(found := getattr(module, last, None)):
        hint = nearest(last, dir(module))
        raise Distrusted(f"no class or function {last} in {file}" + (f"; {hint}" if hint else ""))
    return found


def below(word: str, found: Any) -> Any:
    """Trust in a package covers what it defines, not what it imports."""
    home = f"{getattr(found, '__module__', None) or ''}.{getattr(found, '__name__', '')}"
    if not home.startswith(f"{word}."):
        raise Distrusted(f"{RULE}, and {home} is not of {word}")
    return found


@lru_cache
def named(conf: Path) -> frozenset[str]:
    """Every ``_target_`` in the files of a folder of configs, but for hydra's own and loggers'."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    trees = [
        yaml.load(file.read_text(encoding="utf-8"), Loader=loader)
        for file in conf.rglob("*.yaml")
        if not {"hydra", "logger"} & set(file.relative_to(CONF).parts)
    ]
    return frozenset(str(value) for _, key, value in keys(trees) if key == "_target_")


def check(tree: Any, trusted: Sequence[str]) -> None:
    """Check that everything a stored config would instantiate is trusted.

    Raises:
        Distrusted: one line with the key, its value and the option that would allow it.
    """
    for where, key, value in keys(tree):
        if key == "_target_":
            try:
                find(value, trusted)
            except Distrusted as error:
                raise Distrusted(f"{where}={shown(value)}: {error}") from error
        elif key.startswith("_") and not (key == "_partial_" and isinstance(value, bool)):
            allowed = "of such keys it may have _target_, and _partial_ as true or false"
            raise Distrusted(f"{where}={shown(value)}: {RULE}; {allowed}")


def keys(node: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every key of every mapping below a node: its whole path, itself, its value."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield (inner := f"{path}.{key}".lstrip(".")), str(key), value
            yield from keys(value, inner)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from keys(value, f"{path}[{place}]")
