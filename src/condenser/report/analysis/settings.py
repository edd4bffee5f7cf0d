"""Settings in words: ``prune/rate`` 0.8 is said ``80 %``."""

from __future__ import annotations

from condenser.runs.records import Value

SYMBOLS = {
    "temperature": "T",
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "lambda": "λ",
    "activation_bits": "activations",
}


def setting(key: str, value: Value) -> str:
    """A setting as it is said: ``80 %``, ``8 bit``, ``T=4``, ``kd``."""
    leaf = key.rpartition("/")[2]
    text = value_text(key, value)
    says_itself = isinstance(value, str) or leaf in ("rate", "bits")
    return text if says_itself else f"{SYMBOLS.get(leaf, leaf)}={text}"


def value_text(key: str, value: Value) -> str:
    leaf = key.rpartition("/")[2]
    if value is None:
        return ""
    if isinstance(value, bool | str):
        return str(value)
    if leaf == "rate":
        return f"{100 * value:.6g} %"
    return f"{value:.6g} bit" if leaf == "bits" else f"{value:.6g}"


def head(key: str) -> str:
    """The head of its column: ``distill T``, ``prune rate``, ``distill lr`` of distill/optim/lr."""
    stage, leaf = key.partition("/")[0], key.rpartition("/")[2]
    return f"{stage} {SYMBOLS.get(leaf, leaf)}"
