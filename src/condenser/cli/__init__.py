"""The command line: ``condenser NAME …``, or ``python src/NAME.py …`` from a clone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from condenser.errors import unknown
from condenser.runs import interrupts, ranks

COMMANDS = {
    "train": "train, compress and measure along a recipe",
    "report": "page, tables and curves of finished runs",
    "export": "the file to deploy, measured where it runs",
    "pack": "one entropy-coded, checksummed file",
    "store": "list, verify and remove stored results",
    "sensitivity": "accuracy against the pruning rate of each layer",
    "dashboard": "a workspace on Weights & Biases",
}


def main() -> int:
    """The installed command. Returns its exit code; 2 for an unknown subcommand."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        return run(name, sys.argv[2:])
    if name in ("--version", "-V"):
        print(import_module("condenser").__version__)
        return 0
    if name not in ("--help", "-h"):
        print(f"condenser: {unknown(name, name, COMMANDS)}", file=sys.stderr)
        return 2
    lines = [f"  condenser {name:<12} {does}" for name, does in COMMANDS.items()]
    print("\n".join(["usage: condenser NAME …; condenser NAME --help", "", *lines]))
    return 0


def run(name: str, words: Sequence[str] | None = None) -> int:
    """One command with its words (default: those of the script). Returns its exit code."""
    if name != "train":
        return int(import_module(f"condenser.cli.{name}").main(words) or 0)
    with interrupts.in_order("condenser", speaks=ranks.first):
        from condenser.cli import train  # takes its time, in which a person may change their mind

        if words is not None:
            sys.argv[1:] = words  # hydra reads them there
        train.main()
    return 0
