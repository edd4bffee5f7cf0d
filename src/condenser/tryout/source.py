"""The code that a network's result depends on."""

from __future__ import annotations

import hashlib
import importlib
import sys
from importlib import metadata
from pathlib import Path


def source(target: str) -> str:
    """sha256 over the code of the top package of ``target`` as it is imported, by file name.

    Of an installed one its version alone counts.
    """
    top = target.partition(".")[0]
    if top == "condenser":
        return metadata.version("torchvision")
    for distribution in metadata.packages_distributions().get(top, ()):
        return f"{distribution} {metadata.version(distribution)}"
    importlib.import_module(target.rpartition(".")[0])
    whole = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] == top and file and Path(file).is_file():
            whole.update(name.encode() + Path(file).read_bytes())
    return whole.hexdigest()
