"""List, verify and clean up the store; python src/store.py --help"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from condenser.cli import common
from condenser.errors import ConfigError
from condenser.runs.started import command as started
from condenser.store import inventory, listing, marker
from condenser.store.inventory import Kept
from condenser.store.remove import remove, sweep
from condenser.store.verify import INTACT, UNVERIFIED, verify

YES = ("y", "yes")
EXAMPLES = """examples:
  python src/store.py ls                        what is kept, the oldest first, and for which runs
  python src/store.py show 3fa9                 settings, facts and lineage of one entry
  python src/store.py verify                    whether every file is the one that was written
  python src/store.py rm 3fa9 77b0              these two, by the first letters of their keys
  python src/store.py rm --unused --dry-run     what no run names: say it only
  python src/store.py rm --unused --yes         remove it without being asked, as in a script
  python src/store.py rm --damaged              what verify finds not to be what was written
  python src/store.py rm --leftovers            what killed runs left; they cannot go on then,
                                                and what was damaged and put aside

The runs that count are those below --runs (default: the folder that the store is in). An entry
that a running process works with is never removed; what is removed is made again by the next run
that wants it.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 after a line on stderr with the error, and
    after ``verify`` has found damage."""
    options = _parser().parse_args(arguments)
    options.runs = options.runs or [options.store.absolute().parent]
    return common.answer("store", lambda: options.work(options))


def _parser() -> argparse.ArgumentParser:
    parser = common.parser("store", "Look at the results that runs share, and tidy up.", EXAMPLES)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--store", type=common.place, default=Path("runs/.store"), help="(%(default)s)"
    )
    shared.add_argument(
        "--runs", type=common.place, nargs="+", metavar="FOLDER", help="whose runs count"
    )
    verbs = parser.add_subparsers(required=True, metavar="ls | show | rm | verify")

    verb = verbs.add_parser("ls", parents=[shared], help="what is kept, and for whom")
    verb.set_defaults(work=_ls)
    verb = verbs.add_parser("show", parents=[shared], help="one entry's settings, facts, lineage")
    verb.add_argument("key", help="its key, or the first four letters or more")
    verb.set_defaults(work=_show)
    verb = verbs.add_parser("verify", parents=[shared], help="whether files are what was written")
    verb.add_argument("key", nargs="*", help="(default: all)")
    verb.set_defaults(work=_verify)
    verb = verbs.add_parser("rm", parents=[shared], help="remove entries")
    verb.add_argument("key", nargs="*", help="of what to remove, or its first letters")
    verb.add_argument("--unused", action="store_true", help="all that no run's records name")
    verb.add_argument("--damaged", action="store_true", help="all that verify finds damaged")
    verb.add_argument("--leftovers", action="store_true", help="drafts, checkpoints of killed runs")
    verb.add_argument("--yes", action="store_true", help="do not ask")
    verb.add_argument("--dry-run", action="store_true", help="say it, remove nothing")
    verb.set_defaults(work=_rm)
    return parser


def _ls(options: argparse.Namespace) -> None:
    kept = inventory.inventory(options.store, options.runs)
    print(listing.table(kept))
    print(listing.totals(kept, inventory.leftovers(options.store)))


def _show(options: argparse.Namespace) -> None:
    kept = inventory.inventory(options.store, options.runs)
    found = inventory.find(kept, options.key)
    print(listing.page(found, kept, verify(found)))


def _verify(options: argparse.Namespace) -> int:
    kept = inventory.inventory(options.store, options.runs)
    chosen = [inventory.find(kept, key) for key in options.key] or kept
    states = {one.name: verify(one) for one in chosen}
    for name, state in states.items():
        if state != INTACT:
            print(f"{name}  {state}")
    damaged = [name for name, state in states.items() if state not in (INTACT, UNVERIFIED)]
    old = sum(state == UNVERIFIED for state in states.values())
    print(listing.verdict(len(states), old, len(damaged)))
    if damaged:
        fix = " ".join([*started("store"), "rm --damaged"])
        print(f"fix: {fix}; the next run that needs them recomputes them")
    return 1 if damaged else 0


def _rm(options: argparse.Namespace) -> None:
    if not (options.key or options.unused or options.damaged or options.leftovers):
        raise ConfigError("rm", "nothing", "keys, --unused, --damaged or --leftovers")
    kept = inventory.inventory(options.store, options.runs)
    if not marker.marked(options.store):
        raise common.CondenserError(
            f"{options.store}: not marked as a store by a run, so that nothing in it is removed; "
            "the next run with it marks it"
        )
    chosen = [inventory.find(kept, key) for key in options.key]
    chosen += inventory.unused(kept, options.runs) if options.unused else []
    if options.damaged:
        chosen += [one for one in kept if verify(one) not in (INTACT, UNVERIFIED)]
    left = inventory.leftovers(options.store) if options.leftovers else []
    once = list({one.name: one for one in chosen}.values())
    size = _list(once, left)
    if options.dry_run:
        print(f"{size:,} bytes would be free")
    elif not (once or left) or not (options.yes or _agreed(len(once) + len(left), size)):
        print("nothing was removed")
    else:
        _remove(once, left)


def _list(chosen: Sequence[Kept], left: Sequence[Path]) -> int:
    """Print what would be removed; returns its total bytes."""
    sizes = [inventory.size(path) for path in left]
    for one in chosen:
        named = f", named by {listing.people(one.runs)}" if one.runs else ""
        print(f"{one.name}  {one.bytes:,} bytes{named}")
    for path, size in zip(left, sizes, strict=True):
        print(f"{path.name}  {size:,} bytes")
    return sum(sizes) + sum(one.bytes for one in chosen)


def _agreed(count: int, size: int) -> bool:
    """Ask for confirmation; CondenserError without a terminal."""
    if not sys.stdin.isatty():
        raise common.CondenserError("rm asks before it removes; --yes where nobody can answer")
    try:
        return input(f"remove these {count}, {size:,} bytes? [y/N] ").strip().lower() in YES
    except EOFError:
        return False


def _remove(chosen: Sequence[Kept], left: Sequence[Path]) -> None:
    """Remove everything possible; entries in use are named and kept."""
    freed, stays = 0, []
    for one in chosen:
        try:
            remove(one)
            freed += one.bytes
        except common.CondenserError as error:
            stays.append(str(error))
    for path in left:
        size = inventory.size(path)
        if sweep(path):
            freed += size
        else:
            stays.append(f"{path.name}: a run is making it just now")
    print(f"{freed:,} bytes are free")
    if stays:
        raise common.CondenserError("\n".join(stays))
