"""A bundle is whole: its predict.py alone answers as was recorded, image by image."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from running import run_in
from safetensors.torch import load_file

from condenser import data
from condenser.cli import export
from condenser.data import preparation
from condenser.data.decode import decode
from condenser.deploy.bundle import listed, script
from condenser.runs.records import Record

# All that may be imported besides the standard library: what the README's first line installs.
ALONE = """
import importlib.abc, json, sys
sys.path.insert(0, sys.argv[1])
known = {"onnxruntime", "numpy", "PIL", "predict", "flatbuffers", "packaging", "google"}
class Only(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in known | sys.stdlib_module_names:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Only())
import predict
model = predict.Model()
logits = [model.logits(model.load(path)).tolist() for path in sys.argv[2:]]
json.dump(sum(logits, []), sys.stdout)
"""
SMALL = ("model@teacher.model=mlp_32", "optim.epochs=3", "data.limit=1000", "export.batch=2")


def alone(bundle: Path, *inputs: Path) -> torch.Tensor:
    """Logits of the files, from a fresh interpreter that has not heard of torch."""
    command = [sys.executable, "-I", "-c", ALONE, str(bundle), *map(str, inputs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return torch.tensor(json.loads(done.stdout))


def stored(folder: Path, record: Record) -> Any:
    return load_file(folder / f".store/export-{record['key']}/test_logits.safetensors")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    folder = tmp_path_factory.mktemp("digits")
    entry = "recipe.stages=[teacher,quantize,{export:{input:uint8,layout:NHWC,output:uint8}}]"
    return folder, run_in(folder, entry, *SMALL)[-1]


def test_predict_alone_has_the_recorded_accuracy_image_by_image(
    digits: tuple[Path, Record], tmp_path: Path
) -> None:
    folder, record = digits
    test: Any = data.digits().test
    np.save(tmp_path / "test.npy", test.images.numpy())
    answers = alone(folder / "default/test/bundle", tmp_path / "test.npy")
    torch.testing.assert_close(answers, stored(folder, record)["logits"], rtol=0, atol=1e-5)
    right = (answers.argmax(1) == test.targets).double().mean().item()
    assert round(right, 7) == record["test/accuracy"]


def test_the_readme_s_five_lines_run(digits: tuple[Path, Record]) -> None:
    bundle = digits[0] / "default/test/bundle"
    lines = re.findall(r"^    (.+)$", (bundle / "README.md").read_text("utf-8"), re.MULTILINE)
    assert len(lines) == 5 and lines[0].startswith("pip install onnxruntime")
    for line in lines[1:]:  # the first needs a network
        words = shlex.split(line)
        command = [sys.executable, *words[1:]] if words[0] == "python" else words
        done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and done.stdout, (line, done.stderr)
        assert "--check" not in line or "python" not in line or "\nas recorded\n" in done.stdout


def test_what_it_cannot_read_is_one_line(digits: tuple[Path, Record], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    for name in ("none.png", "text.png"):
        script = digits[0] / "default/test/bundle/predict.py"
        command = [sys.executable, str(script), str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and done.stdout == "" and name in done.stderr
        assert done.stderr.startswith("predict.py: ") and done.stderr.count("\n") == 1


def test_what_it_says_is_what_the_file_says(digits: tuple[Path, Record]) -> None:
    folder, record = digits
    bundle = folder / "default/test/bundle"
    facts = json.loads((bundle / "model.json").read_text("utf-8"))
    graph = onnx.load(bundle / "model.onnx")
    notes = {note.key: note.value for note in graph.metadata_props}
    assert facts["opset"] == graph.opset_import[0].version
    assert facts["input"] | {"dtype": "uint8", "shape": [None, 8, 8, 1]} == facts["input"]
    assert facts["input"]["normalisation"] == "inside" and facts["output"]["scale"] > 0
    assert facts["classes"] == [str(n) for n in range(10)] == json.loads(notes["condenser_classes"])
    assert json.loads(notes["condenser_input"]) == facts["input"]
    assert facts["bytes"] == record["size/file_bytes"] == (bundle / "model.onnx").stat().st_size
    assert facts["measured"]["test/accuracy"] == record["test/accuracy"]
    assert facts["provenance"]["key"] == record["key"]
    assert facts["quantisation"] == {"weights": [8], "activations": [8], "layers": 2}
    dims = [d.dim_value or d.dim_param for d in graph.graph.input[0].type.tensor_type.shape.dim]
    assert isinstance(dims[0], str) and dims[1:] == [8, 8, 1]
    for line in (bundle / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == digest
    assert listed(bundle) | {"SHA256SUMS"} == {
        path.relative_to(bundle).as_posix()
        for path in bundle.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_an_export_is_no_run_and_leaves_nothing_of_the_one_before(
    digits: tuple[Path, Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = digits
    run, out = folder / "default/test", tmp_path / "out"
    before = {path: path.read_bytes() for path in (run / "records.jsonl", run / "config.yaml")}
    assert export.main([str(run), "--out", str(out), "--set", "measure=false"]) == 0
    assert "model.onnx: " in capsys.readouterr().out
    facts = json.loads((out / "model.json").read_text("utf-8"))
    assert facts["measured"]["test/accuracy"] is None and facts["input"]["dtype"] == "float32"
    (out / "samples/mine.txt").touch()
    first = {path.name for path in out.rglob("*")}
    assert export.main([str(run), "--out", str(out), "--stage", "0"]) == 0
    assert {path.name for path in out.rglob("*")} == first
    assert json.loads((out / "model.json").read_text("utf-8"))["quantisation"] is None
    assert {path: path.read_bytes() for path in before} == before
    assert [path.name for path in (folder / "default").iterdir()] == ["test"]


def test_a_folder_of_other_files_is_left_alone(
    digits: tuple[Path, Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("mine")
    run = digits[0] / "default/test"
    assert export.main([str(run), "--out", str(tmp_path), "--set", "measure=false"]) == 1
    assert capsys.readouterr().err == (
        f"export: {tmp_path} has other files: a bundle goes into a folder of its own\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of both orientations, one of them turned, one transparent, one of 16 bits."""
    root, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (root / name).mkdir()
        for number, shape in enumerate([(24, 31, 3), (40, 21, 3), (33, 33, 3), (18, 50, 4)] * 3):
            pixels = draw.normal(level, 30, shape).clip(0, 255).astype(np.uint8)
            turn = Image.Exif()
            turn[0x0112] = 6 if number % 3 == 0 else 1
            Image.fromarray(pixels).save(root / name / f"{number}.png", exif=turn)
        deep = (draw.normal(level * 257, 5000, (26, 29)).clip(0, 65535)).astype(np.uint16)
        Image.fromarray(deep).save(root / name / "deep.png")
    return root


def test_files_are_prepared_as_in_training(pictures: Path, tmp_path: Path) -> None:
    own = ("data=imagefolder", f"data.root={pictures}", "data.source.size=16", "export.batch=2")
    own = (*own, "data.source.resize=20", "data.source.num_workers=0", "recipe=[teacher,export]")
    record = run_in(
        tmp_path, *own, "model@teacher.model=mlp_32", "optim.epochs=1", "data.limit=null"
    )[-1]
    sets = data.imagefolder(pictures, size=16, resize=20)
    assert isinstance(sets.test, data.Files)
    bundle = tmp_path / "default/test/bundle"
    answers = alone(bundle, *(pictures / path for path in sets.test.paths))
    torch.testing.assert_close(answers, stored(tmp_path, record)["logits"], rtol=0, atol=1e-5)
    facts = json.loads((bundle / "model.json").read_text("utf-8"))
    assert facts["classes"] == ["dark", "light"] and facts["input"]["color"] == "RGB"
    assert facts["input"]["resize"]["shorter_side"] == 20 and len(facts["samples"]) == 3


def test_the_middle_is_torchvision_s(pictures: Path) -> None:
    from torchvision.transforms import v2

    for path in pictures.rglob("*.png"):
        image = decode(path, "RGB")
        theirs = v2.Compose([v2.Resize(20, antialias=True), v2.CenterCrop(15)])(image)
        assert preparation.middle(image, 20, 15).tobytes() == theirs.tobytes()


def test_the_script_needs_nothing_of_ours() -> None:
    assert "condenser" not in script() and "def prepared" in script()
