"""Pack a finished model into one entropy-coded file; ``python src/pack.py --help``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from condenser.cli import common
from condenser.errors import ConfigError, DamagedError
from condenser.files import read_bytes, write_whole

EXAMPLES = """examples:
  python src/pack.py runs/demo/default                    writes runs/demo/default/model.cndp
  python src/pack.py runs/demo/default --position 3       the model of the fourth stage
  python src/pack.py model.cndp --out FOLDER              back: model.json and weights.safetensors
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 after one line on stderr with the error."""
    parser = common.parser("pack", "Pack a finished run's model, or unpack a packed one.", EXAMPLES)
    parser.add_argument("source", type=common.place, help="a run's folder, or a packed file")
    parser.add_argument("--position", type=int, help="of the stage, from 0 (default: the last)")
    parser.add_argument("--out", type=common.place, help="default: model.cndp in the run's folder")
    common.trusting(parser)
    options = parser.parse_args(arguments)
    return common.answer("pack", lambda: work(options))


def work(options: argparse.Namespace) -> None:
    """Unpack a file, or pack a run."""
    if options.source.is_file():
        unpacked(options.source, options.out, options.trust)
    else:
        packed(options.source, options.position, options.out, options.trust)


def packed(run: Path, position: int | None, out: Path | None, trusted: Sequence[str]) -> None:
    """Write the file and print its size breakdown."""
    from condenser.pipeline.reopen import saved_config, stored

    config, record = saved_config(run, trusted), stored(run, position)
    from condenser.checkpoint.packed import pack, table
    from condenser.store import stored_at

    targets = tuple(config[role]["model"]["_target_"] for role in ("teacher", "student"))
    spec, model = stored_at(config, record).load(targets)
    file = out or run / "model.cndp"
    write_whole(file, pack(spec, model))
    for row in table(spec, model):
        bits = f"{8 * row.bytes / row.entries:6.2f} bits each" if row.entries else ""
        print(f"{row.name:<40} {row.kind:<7}{row.entries:>11,}{row.bytes:>12,} bytes {bits}")
    print(f"{file}: {file.stat().st_size:,} bytes, {record['model']} after {record['stage']}")


def unpacked(file: Path, out: Path | None, trusted: Sequence[str]) -> None:
    """Write what ``model_spec.load`` reads."""
    from condenser.checkpoint.model_spec import save
    from condenser.checkpoint.packed import unpack

    if out is None:
        raise ConfigError("--out", "none", "a folder to unpack into")
    packed = read_bytes(file)
    try:
        spec, model = unpack(packed, trusted)
    except DamagedError as error:
        raise DamagedError(f"{file}: {error}") from error
    save(out, spec, model)
    print(f"{out}: model.json, weights.safetensors")
