"""The folder that a device's engineer gets: the file, what it is, code that feeds it, samples."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from condenser.data import preparation
from condenser.deploy import predict
from condenser.deploy.description import TOKENIZER, opset
from condenser.deploy.write import files
from condenser.errors import CondenserError
from condenser.files import read_bytes, write_files

SUMS = "SHA256SUMS"
OWN = re.compile(r"model\.\w+|README\.md|predict\.py|tokenizer\.json|samples/\d+\.\w+")
PACKAGES = {".onnx": "onnxruntime", ".xml": "openvino", ".pte": "executorch"}
README = """# {title}

{summary}

    pip install {package} numpy {reads}
    python predict.py {sample}
    python predict.py --check
    python -c "import predict; print(predict.Model().classify('{sample}'))"
    sha256sum --check SHA256SUMS

`model.json` says what the file takes and gives{inside}.
`predict.py` prepares its input as training did.
"""


class Sample(NamedTuple):
    """An input as whoever uses the file has it, and what the file answered.

    ``suffix`` and ``content`` are those of its file.
    """

    suffix: str
    content: bytes
    logits: list[float]
    answer: str


def write_bundle(
    folder: Path,
    file: Path,
    facts: Mapping[str, Any],
    samples: Sequence[Sample],
    tokenizer: str | None = None,
) -> Path:
    """Write the bundle of a deployed file; all of it or, on failure, nothing. Returns the file.

    Args:
        facts: of ``described``, with title, summary, accuracy and provenance; they become
            model.json.
        tokenizer: the tokenizer.json of a network of texts.
    """
    shipped = {folder / part.name: read_bytes(part, part.stat().st_size) for part in files(file)}
    made = {folder / f"samples/{n}{s.suffix}": s.content for n, s in enumerate(samples)}
    paths = [path.relative_to(folder).as_posix() for path in made]
    told = [
        {"input": path, "answer": s.answer, "logits": s.logits}
        for path, s in zip(paths, samples, strict=True)
    ]
    known = {
        "format": 1,
        "file": file.name,
        "bytes": sum(map(len, shipped.values())),
        "runtime": PACKAGES[file.suffix],
        "opset": opset(file),
        **facts,
        "samples": told,
    }
    text = README.format(
        title=facts["title"],
        summary=facts["summary"],
        package=PACKAGES[file.suffix],
        reads=reads(facts["input"]),
        sample=paths[0],
        inside="" if file.suffix == ".pte" else ", and so do the file's own metadata",
    )
    made |= {
        **shipped,
        folder / "model.json": (json.dumps(known, indent=1, ensure_ascii=False) + "\n").encode(),
        folder / "README.md": text.encode(),
        folder / "predict.py": script().encode(),
        **({folder / TOKENIZER: tokenizer.encode()} if tokenizer is not None else {}),
    }
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path, content in sorted(made.items())
    )
    before = listed(folder)
    write_files({**made, folder / SUMS: sums.encode()})
    for old in before - {path.relative_to(folder).as_posix() for path in made}:
        (folder / old).unlink(missing_ok=True)
    return folder / file.name


def reads(given: Mapping[str, Any]) -> str:
    """The package that reads its input."""
    if "ids" in given:
        return "tokenizers"
    return "soundfile" if "audio" in given else "pillow"


def script() -> str:
    """predict.py as one file: what prepares images, then what feeds them."""
    how, feeds = (source(module) for module in (preparation, predict))
    own = "from condenser.data.preparation import middle, prepared\n"
    assert own in feeds
    docstring, _, body = feeds.partition("from __future__ import annotations\n")
    _, _, functions = how.partition("BITS, POLARITY")
    body = body.replace(f"\n{own}", "")
    typing = "if TYPE_CHECKING:\n    from PIL.Image import Image\n\n"
    body = body.replace("from typing import Any\n", "from typing import TYPE_CHECKING, Any\n")
    imports, here, rest = body.partition("HERE = ")
    return (
        f"{docstring}from __future__ import annotations\n{imports}{typing}"
        f"BITS, POLARITY{functions}\n\n{here}{rest}"
    )


def source(module: Any) -> str:
    return Path(module.__file__).read_text(encoding="utf-8")


def listed(folder: Path) -> set[str]:
    """What an earlier bundle in this folder says that it wrote.

    Raises:
        CondenserError: the folder holds something else.
    """
    sums = folder / SUMS
    if not sums.is_file() or not (folder / "predict.py").is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise CondenserError(
                f"{folder} has other files: a bundle goes into a folder of its own"
            )
        return set()
    lines = read_bytes(sums, 1 << 20).decode("utf-8", "replace").split("\n")
    return {name for line in lines if OWN.fullmatch(name := line[66:])}


def sample_of(raw: np.ndarray) -> tuple[str, bytes]:
    """Suffix and content of a file that holds one image (C,H,W) as it is stored: PNG, or .npy."""
    held = io.BytesIO()
    if raw.dtype == np.uint8 and raw.shape[0] in (1, 3) and min(raw.shape[1:]) > 1:
        from PIL import Image

        shown = raw[0] if raw.shape[0] == 1 else raw.transpose(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(shown)).save(held, "PNG")
        return ".png", held.getvalue()
    np.save(held, raw)
    return ".npy", held.getvalue()
