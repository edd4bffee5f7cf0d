"""Answers of the deployed file in this folder, from images, texts or arrays; see README.md.

    python predict.py INPUT ...     # class and probability of each: .png, .jpg, …, .wav, .npy
    python predict.py "A TEXT" ...  # of each text, or of each line of a .txt file
    python predict.py --check       # the samples' answers beside the recorded ones

It needs numpy, Pillow (of audio soundfile, of texts tokenizers) and the file's runtime; all else is
in this folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from condenser.data.preparation import middle, prepared

HERE = Path(__file__).resolve().parent


class Model:
    """The deployed file.

    Attributes:
        facts: model.json.
        classes: names of the outputs, in order.
    """

    def __init__(self, folder: Path | str = HERE, threads: int = 1) -> None:
        self.folder = Path(folder)
        self.facts: dict[str, Any] = json.loads((self.folder / "model.json").read_text("utf-8"))
        self.classes: list[str] = self.facts["classes"]
        self.run = opened(self.folder / self.facts["file"], threads)

    def load(self, path: Path | str) -> np.ndarray:
        """The images of a file before normalisation: (n, C, H, W)."""
        if Path(path).suffix == ".npy":
            found = np.load(path, allow_pickle=False)
            sides = list(self.facts["input"]["image"])
            if "ids" in self.facts["input"]:
                sides[-1] = found.shape[-1]  # of any length
            return found.reshape(-1, *sides)
        if audio := self.facts["input"].get("audio"):
            return heard(path, audio["rate"], self.facts["input"]["image"])
        if "ids" in self.facts["input"]:
            return self.read(path)
        from PIL import Image

        given = self.facts["input"]
        channels, height, width = given["image"]
        with Image.open(path) as image:
            shown = prepared(image, given["color"] or ("RGB" if channels == 3 else "L"))
        if given["resize"]:
            shown = middle(shown, given["resize"]["shorter_side"], height)
        elif shown.size != (width, height):
            shown = shown.resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(shown).reshape(height, width, channels)
        return pixels.transpose(2, 0, 1)[None]

    def read(self, text: Path | str) -> np.ndarray:
        """Token ids of a text, or of every line of a .txt file: int64 (n, longest)."""
        given = self.facts["input"]
        if "tokenizer" not in given:
            raise ValueError(f"{text}: must be a .npy file of token ids: there is no tokenizer")
        from tokenizers import Tokenizer

        engine = Tokenizer.from_file(str(self.folder / given["tokenizer"]))
        file = Path(text).suffix == ".txt" and Path(text).is_file()
        texts = Path(text).read_text("utf-8").splitlines() if file else [str(text)]
        ids = [found.ids[: given["image"][-1]] for found in engine.encode_batch(texts)]
        made = np.full((len(ids), max(map(len, ids), default=0) or 1), given["padding"], np.int64)
        for row, found in zip(made, ids, strict=True):
            row[: len(found)] = found
        return made

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Images before normalisation, (n, C, H, W) → logits (n, outputs) in float32."""
        given, output = self.facts["input"], self.facts["output"]
        if isinstance(given["normalisation"], dict):
            sides = (-1, *[1] * (len(given["image"]) - 1))
            mean, std = (
                np.array(given["normalisation"][word], np.float64).reshape(sides)
                for word in ("mean", "std")
            )
            unit = given["unit"]
            shift, factor = (unit * mean).astype(np.float32), (1 / (unit * std)).astype(np.float32)
            images = (images.astype(np.float32) - shift) * factor
        if given["layout"] == "NHWC":
            images = images.transpose(0, 2, 3, 1)
        said = self.run(np.ascontiguousarray(images))
        if output["dtype"] == "uint8":
            said = (said.astype(np.float32) - output["zero_point"]) * np.float32(output["scale"])
        return said

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Softmax over classes; of labels that do not exclude each other the sigmoid of each."""
        if self.facts["output"]["task"] in ("binary", "multilabel"):
            return 1 / (1 + np.exp(-logits))
        raised = np.exp(logits - logits.max(1, keepdims=True))
        return raised / raised.sum(1, keepdims=True)

    def classify(self, path: Path | str) -> list[tuple[str, float]]:
        """(class, probability) of each image of a file; of labels those that hold, with theirs."""
        said = self.logits(self.load(path))
        if said.ndim == 3:  # at every place: the last says what comes next
            said = said[:, -1]
        found = self.probabilities(said)
        if self.facts["output"]["task"] not in ("binary", "multilabel"):
            return [(self.classes[row.argmax()], float(row.max())) for row in found]
        return [
            (", ".join(n for n, p in zip(self.classes, row, strict=True) if p > 0.5) or "–", p)
            for row in found
            for p in [float(row.max())]
        ]


def heard(path: Path | str, rate: int, shape: list[int]) -> np.ndarray:
    """The waveform of an audio file, cut or padded with zeros: (1, *shape)."""
    import soundfile

    wave, found = soundfile.read(path, dtype="float32", always_2d=True)
    if found != rate:
        raise ValueError(f"{path}: {found} samples a second; must be {rate}")
    made = np.zeros((1, *shape), np.float32)
    begin = wave.mean(axis=1)[: shape[-1]]
    made[..., : len(begin)] = begin
    return made


def opened(file: Path, threads: int) -> Any:
    """A function images → outputs."""
    if file.suffix == ".xml":
        return with_openvino(file, threads)
    if file.suffix == ".pte":
        return with_executorch(file)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def with_openvino(file: Path, threads: int) -> Any:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(str(file), "CPU", settings)
    request = compiled.create_infer_request()
    return lambda images: request.infer({0: images})[0].copy()


def with_executorch(file: Path) -> Any:
    import torch
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(file).load_method("forward")

    def run(images: np.ndarray) -> np.ndarray:
        ones = torch.from_numpy(images).split(1)
        return np.concatenate([method.execute([one])[0].numpy().copy() for one in ones])

    return run


def check(model: Model) -> int:
    """Print each sample's answer beside the recorded one; 1 where they differ."""
    worst = 0.0
    for sample in model.facts["samples"]:
        path = model.folder / sample["input"]
        logits = model.logits(model.load(path))[0]
        off = float(np.abs(logits - np.array(sample["logits"], np.float32)).max())
        worst = max(worst, off)
        (answer, share) = model.classify(path)[0]
        recorded = sample["answer"]
        print(f"{sample['input']}: {answer} {share:.1%}, recorded {recorded}, off by {off:.1g}")
    fits = worst <= 1e-3
    print("as recorded" if fits else "NOT as recorded")
    return 0 if fits else 1


def main(words: list[str]) -> int:
    """Answer the command line. Returns 0, or 1 after one line on what cannot be read."""
    try:
        return work(words)
    except (OSError, ValueError) as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 1


def work(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    model = Model()
    if words == ["--check"]:
        return check(model)
    for word in words:
        for answer, share in model.classify(word):
            print(f"{word}: {answer} {share:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
