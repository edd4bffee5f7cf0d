"""What each term adds to the gradient, against gradients worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from running import run_in
from torch import nn

from condenser.training.gradient_shares import gradient_shares


def test_shares_are_those_of_gradients_worked_out_by_hand() -> None:
    """At w = (3, 4): grad of sum w is (1, 1), of ½·|w|² is (3, 4), of a constant nothing."""
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    terms = {"line": w.sum(), "bowl": 0.5 * (w**2).sum(), "none": torch.tensor(7.0)}
    shares = gradient_shares(terms, {"line": 2.0, "bowl": 1.0, "none": 5.0}, [w])
    whole = 2 * math.sqrt(2) + 5
    assert shares == pytest.approx({"line": 2 * math.sqrt(2) / whole, "bowl": 5 / whole, "none": 0})
    (terms["line"] + terms["bowl"]).backward()  # the graph is still there
    assert torch.equal(w.grad, torch.tensor([4.0, 5.0]))  # and nothing was added to it


def test_a_term_without_weight_has_no_share() -> None:
    w = nn.Parameter(torch.ones(2))
    terms = {"on": w.sum(), "off": (w**2).sum()}
    assert gradient_shares(terms, {"on": 1.0, "off": 0.0}, [w]) == {"on": 1.0, "off": 0.0}
    assert gradient_shares(terms, {"off": 0.0}, [w]) == {"off": 0.0}


def test_a_run_says_whether_each_term_is_on(tmp_path: Path) -> None:
    run_in(tmp_path, "recipe=[teacher,distill]", "distill.alpha=0", run="a")
    run_in(tmp_path, "recipe=[teacher,distill]", "distill.alpha=0.3", run="b")
    rows = []
    for run in ("a", "b"):
        lines = (tmp_path / "default" / run / "1-distill" / "metrics.csv").read_text().splitlines()
        rows.append(dict(zip(*(line.split(",") for line in lines[:2]), strict=True)))
    off, on = rows
    assert float(off["weight/hard"]) == float(off["gradient/hard"]) == 0
    assert float(off["gradient/soft"]) == 1
    assert float(on["weight/hard"]) == pytest.approx(0.3)
    assert 0 < float(on["gradient/hard"]) < 1
    assert float(on["gradient/hard"]) + float(on["gradient/soft"]) == pytest.approx(1)
