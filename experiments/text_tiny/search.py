"""experiment=text_tiny: the best accuracy in 20 KB and in 100 KB, the vocabulary among the bytes.

    python experiments/text_tiny/search.py data.root=FOLDER [overrides of train.py]

Every candidate runs once, with seed 0. The one that is best on validation within a budget runs with
seeds 1, 2 and 3, which are what counts. What is done already is not done again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tuned import run, train

NAME, HERE = "text_tiny", Path(__file__).resolve().parent
SETS, BUDGETS, SEEDS = ("sst2", "trec"), (20_000, 100_000), (1, 2, 3)
CANDIDATES = [
    (model, kind, ids, rate)
    for kind, ids in (("word", 600), ("word", 1000), ("word", 2000), ("wordpiece", 800))
    for model in ("bag_8", "text_cnn_small")
    for rate in (0.5, 0.8)
] + [
    ("text_cnn_small", "word", 8000, 0.5),
    ("text_cnn", "word", 2000, 0.8),
    ("text_cnn", "word", 4000, 0.8),
    ("bilstm", "word", 1000, 0.8),
    ("fasttext_16", "word", 4000, 0.7),
    ("text_transformer_tiny", "word", 4000, 0.7),
]


def main(overrides: list[str]) -> None:
    for data in SETS:
        for candidate in CANDIDATES:
            make(data, candidate, 0, overrides)
        for best in dict.fromkeys(filter(None, (chosen(data, most) for most in BUDGETS))):
            for seed in SEEDS:
                make(data, best, seed, overrides)
        collect()


def make(data: str, candidate: tuple[Any, ...], seed: int, overrides: list[str]) -> None:
    model, kind, ids, rate = candidate
    words = [f"model@student.model={model}", f"data.source.tokenizer={kind}"]
    words += [f"data.source.vocab_size={ids}", f"prune.rate={rate}", f"seed={seed}"]
    train(f"experiment={NAME}", f"data={data}", f"run={named(data, candidate)}-{seed}", *words,
          *overrides)  # fmt: skip


def named(data: str, candidate: tuple[Any, ...]) -> str:
    return "-".join(map(str, (data, *candidate)))


def chosen(data: str, most: int) -> tuple[Any, ...] | None:
    """The best on validation of those within the bytes; none where all are larger."""
    tried = {c: found for c in CANDIDATES for found in last(f"{named(data, c)}-0")}
    fit = {c: r["val/accuracy"] for c, r in tried.items() if r["size/packed_bytes"] <= most}
    return max(fit, key=lambda one: fit[one], default=None)


def last(name: str) -> Iterator[Mapping[str, Any]]:
    """The results of a run's last stage, if it has run."""
    file = Path("runs", NAME, name, "records.jsonl")
    if file.is_file():
        yield json.loads(file.read_text().splitlines()[-1])["results"]


def collect() -> None:
    """The last record of every run, and their table and figure."""
    files = sorted(Path("runs", NAME).glob("*/records.jsonl"))
    lines = [file.read_text().splitlines()[-1] for file in files]
    (HERE / "records.jsonl").write_text("".join(f"{line}\n" for line in lines))
    run("report.py", str(HERE), "--x", "size/packed_bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
