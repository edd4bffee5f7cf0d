"""Export a finished run to a deployable file; ``python src/export.py --help``."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(
    0, str(Path(__file__).resolve().parent)
)  # importable without installation, from any folder

from condenser import cli_common
from condenser.errors import ConfigError
from condenser.runs import records

EXAMPLES = """examples:
  python src/export.py runs/demo/default                      the recipe's last model
  python src/export.py runs/demo/default --stage 3            the one its fourth stage made
  python src/export.py runs/demo/default --out model.onnx
  python src/export.py runs/demo/default --set target=openvino input=uint8
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 after one line on stderr with the error."""
    parser = cli_common.parser(
        "Write a finished run's model as the file to deploy, measured where it runs.", EXAMPLES
    )
    parser.add_argument("run", type=Path, help="a run's folder: runs/EXPERIMENT/RUN")
    parser.add_argument("--stage", type=int, help="position in the recipe, from 0 (default: last)")
    parser.add_argument("--out", type=Path, help="default: RUN/model with the target's suffix")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="of export in conf/train.yaml"
    )
    cli_common.trusting(parser)
    options = parser.parse_args(arguments)
    return cli_common.answer("export", lambda: work(options))


def work(options: argparse.Namespace) -> None:
    """Write the file and print its measurements."""
    record, file = export(options.run, options.stage, options.set, options.trust)
    out = options.out or options.run / file.name
    copy(file, out)
    print(
        f"{out}: {record['size/file_bytes']:,} bytes, test accuracy {record['test/accuracy']:.2%}, "
        f"the same answer as torch on {record['export/agreement']:.2%}, "
        f"{record['latency/ms_b1']:.3f} ms an image in {record['latency/runtime']}"
    )


def copy(file: Path, out: Path) -> None:
    """Copy the deployed file and its companions to another name."""
    from condenser.deploy import files
    from condenser.files import drafts

    parts = files(file)[::-1]  # the file itself last
    with drafts(*(out if p == file else out.with_suffix(p.suffix) for p in parts)) as copies:
        for part, made in zip(parts, copies, strict=True):
            shutil.copyfile(part, made)


def export(
    folder: Path,
    position: int | None,
    settings: Sequence[str] = (),
    trusted: Sequence[str] = (),
) -> tuple[Any, Path]:
    """Rerun the recipe up to ``position`` from the store, with an export at its end."""
    from condenser.config.run_name import shortened
    from condenser.pipeline.reopen import saved_config
    from condenser.store import stored_at, whole

    config = saved_config(folder, trusted)
    stages = config["recipe"]["stages"]
    if position is not None and not 0 <= position < len(stages):
        raise ConfigError("--stage", position, f"a position from 0 to {len(stages) - 1}")
    stages = stages[: len(stages) if position is None else position + 1]
    if settings or not is_export(stages[-1]):
        before = stages[:-1] if is_export(stages[-1]) else stages
        stages = [*before, {"export": given(settings)}]
    name = shortened(",".join([config["run"], f"export={len(stages) - 2}", *settings]))
    config |= {"recipe": {"stages": stages}, "run": name}
    made = records.read([folder])
    whole(config, (r for r in made if r["stage"] not in ("export", "baseline")))
    config["baselines"] = False
    from condenser.pipeline.plan import make_plan
    from condenser.pipeline.run import run

    record = run(
        make_plan(config), " ".join(["python src/export.py", str(folder), *set_of(settings)])
    )[-1]
    from condenser.deploy import SUFFIX

    file = stored_at(config, record).file(f"model{SUFFIX[record['export/target']]}")
    return record, file


def is_export(entry: Any) -> bool:
    return entry == "export" or (isinstance(entry, dict) and "export" in entry)


def set_of(settings: Sequence[str]) -> list[str]:
    return ["--set", *settings] if settings else []


def given(settings: Sequence[str]) -> dict[str, Any]:
    """Parse ``target=openvino`` and the like into a recipe entry's settings."""
    import yaml

    pairs = [word.partition("=") for word in settings]
    for key, _, value in pairs:
        if not value:
            raise ConfigError("--set", key, "KEY=VALUE, as in target=openvino")
    return {key: yaml.safe_load(value) for key, _, value in pairs}


if __name__ == "__main__":
    sys.exit(main())
