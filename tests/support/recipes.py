"""Random recipes over the config's own groups: a function of the seed."""

from __future__ import annotations

import random
from typing import Any

from places import CONF

GROUPS = ("prune", "cut", "merge", "factorize", "share", "quantize")
NETWORKS = {
    "mlp_32": ("fc1", "fc2"),
    "lenet5": ("conv1", "conv2", "fc1", "fc2"),
    "resnet8_thin": ("conv1", "layer1", "fc"),
    "transformer": ("patches", "head"),
}
RATES = (0.1, 0.3, 0.5, 0.8)
# settings tried for a section, beside those of its option
SETTINGS: dict[str, dict[str, tuple[Any, ...]]] = {
    "prune": {"rate": RATES, "until": (0.0, 0.5, 0.9), "updates": (1, 7)},
    "cut": {"rate": RATES, "round_to": (1, 4), "min_channels": (None, 2), "steps": (1, 2)},
    "merge": {"rate": RATES, "images": (64,)},
    "factorize": {"params": (0.5, 0.8), "convolutions": ("spatial", "tucker", "svd")},
    "share": {"bits": (1, 3, 5), "across": (False, True), "train": (False, True)},
    "quantize": {
        "bits": (1, 2, 4, 8),
        "activation_bits": (None, 8),
        "per_channel": (False, True),
        "affine": (False, True),
        "ranges": ("minmax", "mse", 99.0),
        "images": (128,),
    },
}


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def recipe(seed: int) -> list[str]:
    """Overrides of train.py: a network, 2 to 6 stages, an option and settings for each section.

    Sections are chosen once, so that a stage that stands twice differs in its epochs alone.
    """
    draw = random.Random(seed)
    network = draw.choice(list(NETWORKS))
    words = [draw.choice([*GROUPS, "tune"]) for _ in range(draw.randint(1, 4))]
    overrides = [f"seed={seed}", *model(network)]
    for word in dict.fromkeys(word for word in words if word != "tune"):
        overrides += section(draw, word, NETWORKS[network])
    stages = [entry(draw, word) for word in words]
    export = ["export"] if draw.random() < 0.5 else []
    return [f"recipe=[{','.join(['teacher', *stages, *export])}]", *overrides]


def model(network: str) -> list[str]:
    if network != "transformer":
        return [f"model@teacher.model={network}"]
    own = "{_target_:nets.SmallTransformer,name:transformer}"
    return ["~teacher.model", f"+teacher.model={own}"]


def section(draw: random.Random, word: str, layers: tuple[str, ...]) -> list[str]:
    option = draw.choice(options(word))
    text = (CONF / word / f"{option}.yaml").read_text()
    made = [f"{word}={option}"]
    for key, values in SETTINGS[word].items():
        if draw.random() < 0.5 and known(word, option, key) and f"{key}: null" not in text:
            value = draw.choice(values)
            made.append(f"{word}.{key}={'null' if value is None else value}")
    if draw.random() < 0.3:
        made.append(f"{word}.exclude=[{draw.choice(layers)}]")
    return made


def known(word: str, option: str, key: str) -> bool:
    """Whether the option, or one that it is built on, has the setting."""
    text = (CONF / word / f"{option}.yaml").read_text()
    if any(line.startswith(f"{key}:") for line in text.splitlines()):
        return True
    bases = [line.strip("- ").strip() for line in text.splitlines() if line.startswith("  - ")]
    return any(known(word, base, key) for base in bases if base in options(word))


def entry(draw: random.Random, word: str) -> str:
    if word in ("tune", "quantize"):
        return word
    return draw.choice([word, f"{{{word}:{{epochs:0}}}}"])
