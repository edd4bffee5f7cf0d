"""Lightning is loaded without what its torchmetrics would bring along."""

from __future__ import annotations

import os
import subprocess
import sys

from places import SRC

CODE = """
import sys
from condenser.pipeline import lean
lean.load()
import pytorch_lightning, torch
from torchmetrics import MeanMetric
from torchmetrics.functional.classification import multiclass_accuracy
print(sorted({*lean.HIDDEN, "scipy.signal"} & set(sys.modules)))
mean = MeanMetric()
mean.update(torch.tensor([1.0, 3.0]))
print(mean.compute().item(), multiclass_accuracy(torch.eye(3), torch.arange(3), 3).item())
import scipy, torchvision
print(bool(scipy.__version__), bool(torchvision.__version__))
from lightning_utilities.core.imports import RequirementCache
print(bool(RequirementCache("scipy")))
"""


def test_what_is_hidden_is_not_loaded_and_is_there_afterwards() -> None:
    env = {**os.environ, "PYTHONPATH": str(SRC)}
    out = subprocess.run([sys.executable, "-c", CODE], env=env, capture_output=True, text=True)
    assert out.stdout.splitlines() == ["[]", "2.0 1.0", "True True", "True"], out.stderr
