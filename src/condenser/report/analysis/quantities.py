"""How measured things are called and written: one place for words, units and digits."""

from __future__ import annotations

import re

NAMES = {
    "test/accuracy": "test accuracy",
    "test/accuracy_last": "test accuracy, last epoch",
    "val/accuracy": "validation accuracy",
    "val/accuracy_last": "validation accuracy, last epoch",
    "test/top5": "test top-5 accuracy",
    "teacher/agreement": "agreement with the teacher",
    "test/ece": "expected calibration error",
    "test/nll": "test negative log-likelihood",
    "test/exact_match": "test samples with every label right",
    "test/f1": "test F1",
    "test/auroc": "test area under the ROC curve",
    "test/map": "test mean average precision",
    "size/file_bytes": "size of the file to ship",
    "size/fp32_bytes": "size of all weights in fp32",
    "size/packed_bytes": "size of the packed file",
    "size/params": "parameters",
    "size/distinct": "different values of the weights",
    "size/nonzero": "non-zero parameters",
    "compute/macs": "multiply-accumulates an image",
    "compute/nonzero_macs": "non-zero multiply-accumulates an image",
    "latency/ms_b1": "latency, one image",
    "latency/iqr_b1": "interquartile range of the latency",
    "export/latency_ms": "latency of the exported file, its batch",
    "energy/uj": "estimated energy an image",
    "energy/j_per_1000": "energy of 1,000 images beyond idle, by the processor's counter",
    "memory/peak_bytes": "memory that the file takes, one image",
    "teacher/kl": "divergence from the teacher",
    "teacher/accuracy": "accuracy of the teacher",
    "teacher/worst_drop": "accuracy lost in the worst class",
    "cka/teacher": "likeness of features to the teacher (CKA)",
    "privacy/loss/auc": "members told by their loss (AUC)",
    "privacy/lira/auc": "members told by likelihood ratio (AUC)",
    "robustness/accuracy": "accuracy on corrupted images",
    "robustness/clean": "accuracy on the same images, clean",
    "robustness/mce": "mean corruption error, the reference's being 1",
    "robustness/ece": "calibration error on corrupted images",
    "robustness/ece_shift": "calibration error added by corruption",
    "robustness/aurc": "area under risk over coverage",
    "robustness/fgsm": "accuracy under FGSM",
    "robustness/pgd": "accuracy under PGD",
    "churn/changed": "test answers that changed",
    "churn/broken": "test answers that became wrong",
    "churn/mended": "test answers that became right",
    "churn/hard_drop": "accuracy lost on the hardest tenth",
    "churn/worst_drop": "accuracy lost in the worst class, to the reference",
    "attribution/gradcam/spearman": "agreement of Grad-CAM maps (Spearman)",
    "attribution/gradient/spearman": "agreement of gradient maps (Spearman)",
    "cost/epochs": "epochs of the stage",
    "cost/train_seconds": "training time of the stage",
}
COSTS = re.compile(r"^(size|compute|latency|energy|cost)/|bytes$|latency_ms$")
FRACTIONS = re.compile(
    r"accuracy|agreement|top5|_drop$|/(exact_match|f1|auroc|map)$|^churn/(changed|broken|mended)$"
    r"|^robustness/(?!mce$|aurc$|ece|ood_|images$)"
)
WORSE_WHEN_HIGH = re.compile(
    r"/(ece|nll|kl|loss|error)$|_drop$|^privacy/|^robustness/(mce|aurc|ece)|^churn/(changed|broken)$"
)


def is_cost(key: str) -> bool:
    """Whether less is better and the key spans decades: a log axis, with a Pareto front."""
    return bool(COSTS.search(key))


def is_fraction(key: str) -> bool:
    """Whether the record holds 0..1 and people read per cent."""
    return bool(FRACTIONS.search(key))


def less_is_better(key: str) -> bool:
    return is_cost(key) or bool(WORSE_WHEN_HIGH.search(key))


def name(key: str) -> str:
    return NAMES.get(key, key)


def unit(key: str) -> str:
    """B, ms, µJ, s, % or nothing. KB and MB are 1,000 and 1,000,000 bytes, as in the papers."""
    if key.endswith("bytes"):
        return "B"
    if key.startswith("latency/") or key.endswith("latency_ms"):
        return "ms"
    if key.startswith("energy/"):
        return "µJ" if "uj" in key else "J" if "j_per" in key else ""
    if key.endswith("seconds"):
        return "s"
    return "%" if is_fraction(key) else ""


def si(value: float, symbol: str = "") -> str:
    """Three digits and a prefix: ``27.0 k``, ``1.07 MB``; whole numbers below a thousand whole."""
    text, prefix = _prefixed(value, symbol)
    if not prefix and float(text) == int(float(text)):
        text = f"{float(text):.0f}"
    return f"{text} {prefix}{symbol}".rstrip()


def tick(value: float, symbol: str = "") -> str:
    """The same without needless zeros: ``20 KB``, ``1.5 M``."""
    text, prefix = _prefixed(value, symbol)
    return f"{float(text):g} {prefix}{symbol}".rstrip()


def _prefixed(value: float, symbol: str) -> tuple[str, str]:
    for power, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "K" if symbol == "B" else "k")):
        if abs(value) >= 0.9995 * power:
            return _three(value / power), prefix
    return _three(value), ""


def _three(value: float) -> str:
    """Three significant digits, never as an exponent above 0.001."""
    size = abs(value)
    if size < 0.995:
        return f"{value:.3g}"
    return f"{value:.{0 if size >= 99.95 else 1 if size >= 9.995 else 2}f}"
