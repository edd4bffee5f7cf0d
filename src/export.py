"""The file to deploy of a finished run; ``python src/export.py --help``."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # no install step, from any folder

from condenser import command
from condenser.errors import ConfigError
from condenser.run import saved_config
from condenser.store import stored_at

EXAMPLES = """examples:
  python src/export.py runs/demo/default                      the recipe's last model
  python src/export.py runs/demo/default --stage 3            the one its fourth stage made
  python src/export.py runs/demo/default --out model.onnx
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 after one line on stderr that says what to mend."""
    parser = command.parser(
        "Write a finished run's model as ONNX, measured in onnxruntime.", EXAMPLES
    )
    parser.add_argument("run", type=Path, help="a run's folder: runs/EXPERIMENT/RUN")
    parser.add_argument("--stage", type=int, help="position in the recipe, from 0 (default: last)")
    parser.add_argument("--out", type=Path, help="default: RUN/model.onnx")
    options = parser.parse_args(arguments)
    return command.answer("export", lambda: work(options))


def work(options: argparse.Namespace) -> None:
    """Write the file and say what it measures."""
    record, file = export(options.run, options.stage)
    out = options.out or options.run / "model.onnx"
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, out)
    print(
        f"{out}: {record['size/file_bytes']:,} bytes, test accuracy {record['test/accuracy']:.2%}, "
        f"the same answer as torch on {record['export/agreement']:.2%}, "
        f"{record['latency/ms_b1']:.3f} ms an image in {record['latency/runtime']}"
    )


def export(folder: Path, position: int | None) -> tuple[Any, Path]:
    """Redo the run's recipe up to ``position``, all from the store, with an export at its end."""
    config = saved_config(folder)
    stages = config["recipe"]["stages"]
    if position is not None and not 0 <= position < len(stages):
        raise ConfigError("--stage", position, f"a position from 0 to {len(stages) - 1}")
    stages = stages[: len(stages) if position is None else position + 1]
    if stages[-1] != "export":
        stages = [*stages, "export"]
    config |= {"recipe": {"stages": stages}, "run": f"{config['run']},export={len(stages) - 2}"}
    config["controls"] = False
    config["logger"] = {"_target_": "condenser.tracking.CsvTracker"}
    from condenser.recipe import plan
    from condenser.run import run

    plan(config)
    record = run(config, f"python src/export.py {folder}")[-1]
    return record, stored_at(config, record) / "model.onnx"


if __name__ == "__main__":
    sys.exit(main())
