"""Networks of torchvision, timm and transformers, halved, in int8, deployed: a row each. make zoo

Of each network, with random weights and small inputs: as few channels as halve its MACs, of
transformers the heads first, whole blocks where channels do not reach; int8 after training; the
file for onnxruntime; how near the file is to the simulated network on 16 inputs. What cannot be is
said by name. A row is a process of its own, written when it ends: the same command goes on.

    make zoo                                   # all rows that are missing, then docs/zoo.md
    python bench/zoo.py --only timm            # or a part of a name
    python bench/zoo.py --table                # docs/zoo.md from the rows that there are
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import torch
from torch import Tensor, nn

from condenser import deploy, measure
from condenser.compress import PostTraining, Quantized
from condenser.compress.base import CalibrationData
from condenser.compress.blocks.compression import RandomBlock
from condenser.compress.channels import CutBlocks, CutChannels, CutHeads
from condenser.compress.quantization.aware import statistics
from condenser.compress.scores import Norm
from condenser.deploy import Form
from condenser.errors import CondenserError, ConfigError
from condenser.files import loads, write_whole
from condenser.models import build

ROOT = Path(__file__).resolve().parents[1]
ROWS, PAGE = ROOT / "experiments/zoo/rows.jsonl", ROOT / "docs/zoo.md"
CLASSES, INPUTS, SECONDS = 10, 16, 900
SIDES = (64, 96, 112, 224)  # the first that a network takes
TIMM_NAMES = (
    "resnet18 resnet26d resnetv2_50 resnext26ts seresnet18 ecaresnet26t cspresnet50 darknet53 "
    "mobilenetv3_small_100 mobilenetv4_conv_small efficientnet_b0 tf_efficientnet_lite0 "
    "efficientnetv2_rw_t ghostnet_100 ghostnetv2_100 mnasnet_100 lcnet_100 tinynet_e fbnetc_100 "
    "regnetx_004 regnety_004 repvgg_a0 mobileone_s0 hardcorenas_a rexnet_100 hrnet_w18_small "
    "dla34 densenet121 inception_v3 xception41 vgg11 convnext_atto convnextv2_atto "
    "convmixer_768_32 poolformer_s12 vit_tiny_patch16_224 deit_tiny_patch16_224 mixer_s32_224 "
    "resmlp_12_224 swin_tiny_patch4_window7_224 "
)
TIMM = TIMM_NAMES.split()
SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
TEXT, WORDS = (1, 1, 32), 1000
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "bert": SMALL | {"vocab_size": WORDS},
    "roberta": SMALL | {"vocab_size": WORDS},
    "electra": SMALL | {"vocab_size": WORDS, "embedding_size": 64},
    "distilbert": {"dim": 64, "n_layers": 4, "n_heads": 4, "hidden_dim": 128, "vocab_size": WORDS},
    "albert": SMALL | {"vocab_size": WORDS, "embedding_size": 64},
    "mpnet": SMALL | {"vocab_size": WORDS},
    "deberta-v2": SMALL | {"vocab_size": WORDS},
    "vit": SMALL | {"patch_size": 8},
    "deit": SMALL | {"patch_size": 8},
    "beit": SMALL | {"patch_size": 8},
}


def networks() -> Iterator[tuple[str, str]]:
    """(library, name) of every row."""
    from torchvision import models

    yield from (("torchvision", name) for name in models.list_models(module=models))
    yield from (("timm", name) for name in TIMM)
    yield from (("transformers", name) for name in TRANSFORMERS)


def built(library: str, name: str) -> tuple[nn.Module, Tensor]:
    """The network and inputs for it, of the smallest side that it takes."""
    torch.manual_seed(0)
    settings = {"settings": TRANSFORMERS[name]} if library == "transformers" else {}
    target = {"_target_": f"condenser.models.{library}_model", "architecture": name, **settings}
    if "vocab_size" in settings.get("settings", {}):
        ids = torch.randint(5, WORDS, (INPUTS, *TEXT)).float()
        return build(target, TEXT, CLASSES).eval(), ids
    failed: Exception | None = None
    for side in SIDES:
        images = torch.randn(INPUTS, 3, side, side)
        try:
            model = build(target, (3, side, side), CLASSES).eval()
            with torch.no_grad():
                model(images[:2])
        except Exception as error:  # whatever a network says of images that are too small
            failed = error
        else:
            return model, images
    raise CondenserError(" ".join(str(failed).split())[:200])


@dataclass
class Row:
    """One network on its way; ``facts`` is its line."""

    model: nn.Module
    inputs: Tensor
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def macs(self) -> int:
        with torch.no_grad():
            return int(measure.compute(self.model, self.inputs[:1])["macs"])

    @property
    def probe(self) -> CalibrationData:
        labels = torch.arange(len(self.inputs)) % CLASSES
        parts = [(self.inputs, labels)]
        return CalibrationData(lambda n: parts, nn.functional.cross_entropy, dict)

    def halve(self) -> None:
        """Heads, channels, blocks: in that order, until half of the MACs are left."""
        dense, how, why = self.macs, [], ""
        for word, cut in (
            ("heads", self.heads),
            ("channels", self.channels),
            ("blocks", self.blocks),
        ):
            if self.macs <= 0.505 * dense:
                break
            try:
                cut(dense)
                how.append(word)
            except ConfigError as error:
                if word == "channels" or not why:
                    why = str(error)
        left = self.macs / dense
        self.facts |= {"macs": dense, "left": round(left, 3), "cut": " ".join(how)}
        if left > 0.505:
            self.facts["not_halved"] = why

    def heads(self, dense: int) -> None:
        CutHeads(Norm(p=1), rate=0.5, min_channels=1).prepare(self.model, self.probe)

    def channels(self, dense: int) -> None:
        goal = 0.5 * dense / self.macs
        try:
            CutChannels(Norm(p=1), macs=goal).prepare(self.model, self.probe)
        except ConfigError as error:
            if "must be a fraction from" not in str(error):
                raise
            least = float(str(error).split("fraction from ")[1].split()[0])
            if least > 0.9:
                raise
            CutChannels(Norm(p=1), macs=min(1.0, least + 0.01)).prepare(self.model, self.probe)
            self.facts["least"] = str(error)

    def blocks(self, dense: int) -> None:
        CutBlocks(RandomBlock(0), macs=0.5 * dense / self.macs).prepare(self.model, self.probe)

    def deploy(self, folder: Path) -> None:
        """Int8 after training, the file, and how near it is to the simulation."""
        operations = PostTraining(images=INPUTS)(self.model, self.inputs)
        done = next(op for op in operations if isinstance(op, Quantized))
        with torch.no_grad():
            wanted = self.model(self.inputs)
        plain = deploy.write(self.model, Form(), self.inputs, folder / "float")
        file = deploy.write(self.model, Form(), self.inputs, folder / "int8", done)
        got = deploy.session(file, 1)(self.inputs)
        off = (got - wanted).norm() / wanted.norm()
        self.facts |= {
            "float_bytes": deploy.size(plain),
            "int8_bytes": deploy.size(file),
            "off": round(float(off), 5),
            "agree": round(float((got.argmax(1) == wanted.argmax(1)).float().mean()), 3),
        }


def one(library: str, name: str) -> dict[str, Any]:
    """The row of a network: what came out, or why it cannot be."""
    start, facts = time.time(), {"library": library, "network": name}
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    try:
        row = Row(*built(library, name), facts)
        facts |= {"input": "x".join(map(str, row.inputs.shape[1:]))}
        facts |= {"params": measure.size(row.model)["params"]}
        with torch.no_grad():
            statistics(row.model, [row.inputs])  # random batch norms would let nothing through
        row.halve()
        with tempfile.TemporaryDirectory() as folder:
            row.deploy(Path(folder))
    except CondenserError as error:
        facts["refused"] = str(error)
    except Exception as error:
        facts["failed"] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return facts | {"seconds": round(time.time() - start)}


def rows() -> list[dict[str, Any]]:
    if not ROWS.is_file():
        return []
    return [loads(line) for line in ROWS.read_bytes().splitlines()]


def fresh(library: str, name: str) -> dict[str, Any]:
    """A row in a process of its own, ended after ``SECONDS``."""
    command = [sys.executable, __file__, "--row", library, name]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return {"library": library, "network": name, "failed": f"not done in {SECONDS} s"}
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        failed = f"exit {done.returncode}: {' '.join(last)[:200]}"
        return {"library": library, "network": name, "failed": failed}
    found: dict[str, Any] = loads(lines[-1])
    return found


def table(found: list[dict[str, Any]]) -> str:
    """docs/zoo.md: what was run, a line for each network, what was not run."""
    known = {(r["library"], r["network"]): r for r in found}
    names = list(networks())
    good = sum("off" in r for r in found)
    halved = sum("off" in r and "not_halved" not in r for r in found)
    lines = [
        "# Networks of others, halved, in int8, deployed",
        "",
        "Written by `make zoo` ([bench/zoo.py](../bench/zoo.py)) from",
        "[its rows](../experiments/zoo/rows.jsonl): random weights, 10 classes, 16 inputs, one",
        "thread of a shared processor. `left`: of the MACs after cutting heads, channels, blocks,",
        "as needed. `off`: ‖file - simulation‖ / ‖simulation‖ of the int8 file's outputs in",
        "onnxruntime. A row not run: `python bench/zoo.py --only NAME`.",
        "",
        f"{len(found)} of {len(names)} run; {good} deployed in int8, {halved} at half the MACs.",
        "",
        "| network | input | weights | cut | left | int8 / float | off | s | remark |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [line(*name, known.get(name)) for name in names]
    return "\n".join(lines) + "\n"


def line(library: str, name: str, row: dict[str, Any] | None) -> str:
    if row is None:
        return f"| {library} {name} | | | | | | | | not run |"
    remark = row.get("refused") or row.get("failed") or row.get("not_halved", "")
    ratio = f"{row['int8_bytes'] / row['float_bytes']:.2f}" if "int8_bytes" in row else ""
    cells = [
        f"{library} {name}",
        row.get("input", ""),
        f"{row['params']:,}" if "params" in row else "",
        row.get("cut", ""),
        row.get("left", ""),
        ratio,
        row.get("off", ""),
        row.get("seconds", ""),
        remark.replace("|", "/")[:240],
    ]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--row", nargs=2, metavar=("LIBRARY", "NAME"), help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="*", default=[""], help="rows with one of these in them")
    parser.add_argument("--table", action="store_true", help="write the page alone")
    parser.add_argument("--minutes", type=float, default=None, help="begin no row after that many")
    args = parser.parse_args()
    if args.row:
        print(json.dumps(one(*args.row)))
        return
    start = time.time()
    done = {(r["library"], r["network"]) for r in rows()}
    ROWS.parent.mkdir(parents=True, exist_ok=True)
    for name in () if args.table else networks():
        if name in done or not any(word in " ".join(name) for word in args.only):
            continue
        if args.minutes is not None and time.time() - start > 60 * args.minutes:
            break
        row = fresh(*name)
        with ROWS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(line(*name, row))
    write_whole(PAGE, table(rows()))


if __name__ == "__main__":
    main()
