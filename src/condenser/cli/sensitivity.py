"""Pruning sensitivity of each layer of a finished run; ``python src/sensitivity.py --help``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from condenser.cli import common

EXAMPLES = """examples:
  python src/sensitivity.py runs/demo/default                        weights, layer by layer
  python src/sensitivity.py runs/demo/default --granularity channels
  python src/sensitivity.py runs/demo/default --position 0 --max-drop 0.02

then prune each layer as far as it alone may go:
  python src/train.py prune=per_layer prune.scope.rates=runs/demo/default/sensitivity.json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 after one line on stderr with the error."""
    parser = common.parser(
        "sensitivity",
        "Prune a finished model's layers one at a time, and look what is lost.",
        EXAMPLES,
    )
    parser.add_argument("run", type=common.place, help="a run's folder: runs/EXPERIMENT/RUN")
    parser.add_argument("--position", type=int, help="of the stage, from 0 (default: 0, the dense)")
    parser.add_argument("--granularity", default="weights", help="weights or channels")
    parser.add_argument("--rates", type=float, nargs="+", metavar="RATE", help="in (0, 1)")
    parser.add_argument("--images", type=int, default=2000, help="of validation (%(default)s)")
    parser.add_argument("--exclude", nargs="+", default=[], metavar="PATTERN", help="of layers")
    parser.add_argument(
        "--max-drop", type=float, default=0.01, help="of accuracy, that rates are named for"
    )
    parser.add_argument("--out", type=common.place, help="a folder (default: the run's)")
    common.trusting(parser)
    options = parser.parse_args(arguments)
    return common.answer("sensitivity", lambda: work(options))


def work(options: argparse.Namespace) -> None:
    for path, shows in study(options).items():
        print(f"{path}  {shows}")


def study(options: argparse.Namespace) -> dict[Path, str]:
    """Analyse the model of one stage on the data of its run, write the report, print the table."""
    from condenser.pipeline.reopen import saved_config, stored

    config = saved_config(options.run, options.trust)
    record = stored(options.run, options.position or 0)
    from condenser.analysis import RATES, analyse
    from condenser.config.instantiate import build
    from condenser.report import sensitivity
    from condenser.store import stored_at

    data = build(config["data"], batch_size=config["optim"]["batch_size"], seed=config["seed"])
    data.setup()
    targets = tuple(config[role]["model"]["_target_"] for role in ("teacher", "student"))
    _, model = stored_at(config, record).load(targets)
    rates, grain = options.rates or RATES, options.granularity
    result = analyse(model, data, grain, rates, options.images, options.exclude)
    title = f"{record['model']} {record['stage']} on {data.name}"
    print(sensitivity.markdown(result, options.max_drop))
    return sensitivity.write(result, options.out or options.run, title, options.max_drop)
