"""Multilabel data sets derived from multiclass ones."""

from __future__ import annotations

from pathlib import Path

import torch

from condenser.data.samples import Arrays, Splits
from condenser.data.sets import fashion_mnist
from condenser.tasks import Multilabel

# The classes of FashionMNIST that have each attribute: T-shirt 0, trousers 1, pullover 2, dress 3,
# coat 4, sandal 5, shirt 6, sneaker 7, bag 8, ankle boot 9. No two classes share all of them.
ATTRIBUTES = {
    "covers the torso": {0, 2, 3, 4, 6},
    "covers the thighs": {1, 3},
    "covers the ankles": {1, 9},
    "covers the toes": {7, 9},
    "worn on the feet": {5, 7, 9},
    "opens in front": {4, 6},
    "worn over a shirt": {2, 4},
}


def fashion_attributes(root: str | Path) -> Splits:
    """FashionMNIST with seven binary attributes per image instead of its class.

    Each is true of a fifth to a half of the pieces and a function of the class, so that a network
    which tells the classes apart can tell all of them. Source: https://arxiv.org/abs/1708.07747
    """
    whole = fashion_mnist(root)
    table = torch.tensor([[c in has for has in ATTRIBUTES.values()] for c in range(10)]).float()
    assert isinstance(whole.train, Arrays) and isinstance(whole.test, Arrays)
    train, test = (Arrays(part.images, table[part.targets]) for part in (whole.train, whole.test))
    return Splits(train, test, list(ATTRIBUTES), Multilabel.word)
