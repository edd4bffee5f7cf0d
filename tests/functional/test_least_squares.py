"""The nearest change that mends a layer's outputs, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import torch

from condenser.functional.least_squares import change


def problem(rows: int = 60, inputs: int = 7, outputs: int = 5) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(rows, inputs)) @ draw.normal(size=(inputs, inputs))
    return x, draw.normal(size=(rows, outputs))


def found(x: np.ndarray, e: np.ndarray, ridge: np.ndarray, free: np.ndarray | None) -> np.ndarray:
    gram, cross = torch.from_numpy(x.T @ x), torch.from_numpy(e.T @ x)
    mask = None if free is None else torch.from_numpy(free)
    return change(gram, cross, torch.from_numpy(ridge), mask).numpy()


def test_all_free_it_is_ridge_regression() -> None:
    x, e = problem()
    ridge = np.linspace(0.1, 2, x.shape[1])
    stacked = np.vstack([x, np.diag(np.sqrt(ridge))])
    wanted = np.linalg.lstsq(
        stacked, np.vstack([e, np.zeros((len(ridge), e.shape[1]))]), rcond=None
    )
    np.testing.assert_allclose(found(x, e, ridge, None), wanted[0].T, atol=1e-10)


def test_of_each_row_the_free_entries_alone() -> None:
    x, e = problem()
    ridge = np.full(x.shape[1], 1e-3)
    free = np.random.default_rng(1).random((e.shape[1], x.shape[1])) < 0.5
    free[0], free[1] = False, True
    got = found(x, e, ridge, free)
    assert not got[~free].any()
    for row, mask in enumerate(free):
        if mask.any():
            gram = x[:, mask].T @ x[:, mask] + np.diag(ridge[mask])
            wanted = np.linalg.solve(gram, x[:, mask].T @ e[:, row])
            np.testing.assert_allclose(got[row, mask], wanted, atol=1e-5 * abs(wanted).max())
