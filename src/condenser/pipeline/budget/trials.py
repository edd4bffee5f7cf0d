"""What a trial of the search is: entries of a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from condenser.pipeline.budget import shipped
from condenser.pipeline.budget.shipped import Entry, limited, training
from condenser.search import space as spaces


def space(config: Mapping[str, Any]) -> spaces.Space:
    """What is searched: the fraction of weights kept, on a log scale, bits, and what codes them.

    From 2 % kept to 1 % is as far as from 100 % to 50 %: so do the bytes go. Where the budget is of
    what is shipped, see ``shipped``.
    """
    settings = config["budget"]
    if limited(settings):
        return shipped.space(config)
    low, high = settings["rate"]
    least, most = settings["bits"]
    kept = spaces.Interval(round(1 - high, 6), round(1 - low, 6), log=True)
    kept.check("budget.rate")
    bits = spaces.Interval(least, most)
    bits.check("budget.bits")
    return {"kept": kept, "bits": bits, "coding": spaces.read("budget.coding", settings["coding"])}


def corners(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Trials that show whether all can be planned."""
    if limited(config["budget"]):
        yield from shipped.corners(config)
        return
    found = space(config)
    for coding in found["coding"].ends():
        yield from spaces.corners({**found, "coding": spaces.Choice((coding,))})


def entries(config: Mapping[str, Any], params: Mapping[str, Any]) -> list[Entry]:
    """The trial as a recipe's entries: prune, unless all is kept, then what makes bits."""
    settings = config["budget"]
    if limited(settings):
        return shipped.entries(config, params)
    rate = round(1 - params["kept"], 6)
    coding = params["coding"]
    steps: list[Entry] = []
    if rate:
        steps.append({"prune": {"rate": rate, **training(config["prune"], settings)}})
    bits = {"bits": params["bits"], **training(config[coding], settings)}
    if "activation_bits" in config[coding]:
        bits["activation_bits"] = settings["activation_bits"]
    return [*steps, {coding: bits}]


def replaced(config: Mapping[str, Any], place: int, steps: Sequence[Entry]) -> dict[str, Any]:
    """The config with these entries in place of the one that says budget."""
    stages = config["recipe"]["stages"]
    whole = [*stages[:place], *steps, *stages[place + 1 :]]
    return {**config, "recipe": {**config["recipe"], "stages": whole}}


def trial(config: Mapping[str, Any], place: int, params: Mapping[str, Any]) -> dict[str, Any]:
    """The config of one trial: up to what it tries, without baselines."""
    steps = entries(config, params)
    whole = replaced(config, place, steps)
    stages = whole["recipe"]["stages"][: place + len(steps)]
    return {**whole, "recipe": {**whole["recipe"], "stages": stages}, "baselines": False}


def shown(steps: Sequence[Entry]) -> str:
    """``prune.rate=0.9 share.bits=4``; nothing tried is the network as it was."""
    words = [
        f"{stage}.{key}={overrides[key]}"
        for entry in steps
        for stage, overrides in entry.items()
        for key in ("rate", "params", "macs", "bits")
        if overrides.get(key) is not None
    ]
    return " ".join(words) or "as it was"
