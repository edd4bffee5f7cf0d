"""Export a finished run to a deployable file; ``python src/export.py --help``."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from condenser.cli import common
from condenser.errors import ConfigError
from condenser.runs import records
from condenser.runs.started import command as started

EXAMPLES = """examples:
  python src/export.py runs/demo/default                      the recipe's last model
  python src/export.py runs/demo/default --stage 3            the one its fourth stage made
  python src/export.py runs/demo/default --out device         the bundle in another folder
  python src/export.py runs/demo/default --out model.onnx     the file alone
  python src/export.py runs/demo/default --set target=openvino input=uint8 layout=NHWC
  python src/export.py runs/demo/default --set measure=false  at once, nothing measured
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 after one line on stderr with the error."""
    parser = common.parser(
        "export",
        "Write a finished run's model as a bundle: the file to deploy, measured where it runs, "
        "what it takes and gives, code that feeds it.",
        EXAMPLES,
    )
    parser.add_argument("run", type=common.place, help="a run's folder: runs/EXPERIMENT/RUN")
    parser.add_argument("--stage", type=int, help="position in the recipe, from 0 (default: last)")
    parser.add_argument(
        "--out", type=common.place, help="a folder, or a file (default: RUN/bundle)"
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="of export in conf/train.yaml"
    )
    common.trusting(parser)
    options = parser.parse_args(arguments)
    return common.answer("export", lambda: work(options))


def work(options: argparse.Namespace) -> None:
    """Write the bundle and print what the file is."""
    from condenser.deploy import SUFFIX
    from condenser.pipeline import deliver
    from condenser.pipeline.reopen import saved_config
    from condenser.store import whole

    config = saved_config(options.run, options.trust)
    made = records.read([options.run])
    whole(config, (r for r in made if r["stage"] not in ("export", "baseline")))
    words = " ".join([*started("export"), str(options.run), *set_of(options.set)])
    alone = options.out is not None and options.out.suffix in SUFFIX.values()
    with tempfile.TemporaryDirectory() as spare:
        place = Path(spare) if alone else options.out
        record, file = deliver.export(config, place, options.stage, given(options.set), words)
        if alone:
            copy(file, options.out)
    print(f"{options.out if alone else file}: {said(record)}")


def said(record: Mapping[str, Any]) -> str:
    size = f"{record['size/file_bytes']:,} bytes"
    if record["test/accuracy"] is None:
        return f"{size}, not measured"
    return (
        f"{size}, test accuracy {record['test/accuracy']:.2%}, "
        f"the same answer as torch on {record['export/agreement']:.2%}, "
        f"{record['latency/ms_b1']:.3f} ms an input in {record['latency/runtime']}"
    )


def copy(file: Path, out: Path) -> None:
    """Copy the deployed file and its companions to another name."""
    from condenser.deploy import files
    from condenser.files import drafts

    parts = files(file)[::-1]  # the file itself last
    with drafts(*(out if p == file else out.with_suffix(p.suffix) for p in parts)) as copies:
        for part, made in zip(parts, copies, strict=True):
            shutil.copyfile(part, made)


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
