"""Greedy, beam search and sampling beside every text that could be said."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from condenser.models import Translator
from condenser.models.decoding import (
    asking,
    beam,
    greedy,
    penalty,
    sample,
    translate,
    translating,
)
from condenser.tasks import BOS, EOS, PAD

IDS, LONGEST = 6, 4


class Chain:
    """A row's next token depends on its last two and on the row."""

    def __init__(self, rows: int, beams: int = 1, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        table = 2.5 * torch.randn(8, IDS, IDS, IDS, generator=generator)
        table[..., PAD] = table[..., BOS] = -30.0  # never said
        self.table = table[:rows].repeat_interleave(beams, 0)

    def __call__(self, said: Tensor) -> Tensor:
        before = said[:, -2] if said.shape[1] > 1 else said[:, -1]
        return self.table[torch.arange(len(said)), before, said[:, -1]]


def brute(row: int, alpha: float) -> tuple[list[int], float]:
    """The best of all texts of a row, and its score."""
    chain, best = Chain(8), ([], -float("inf"))
    words = [token for token in range(IDS) if token != EOS]
    for length in range(LONGEST + 1):
        for text in product(words, repeat=length):
            tokens = [*text, EOS][:LONGEST]
            said, total = [BOS], 0.0
            for token in tokens:
                prefix = torch.tensor([said]).expand(8, -1)
                total += chain(prefix)[row].log_softmax(0)[token].item()
                said.append(token)
            score = total / penalty(len(tokens), alpha)
            if score > best[1]:
                best = (list(text), score)
    return best


def plain(row: Tensor) -> list[int]:
    return [token for token in row.tolist() if token != PAD]


START = torch.full((8, 1), BOS)


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_a_beam_that_holds_all_prefixes_finds_the_best_text(alpha: float) -> None:
    beams = (IDS - 1) ** (LONGEST - 1)
    text, score = beam(Chain(2, beams), START[:2], LONGEST, beams, alpha)
    for row in range(2):
        best, value = brute(row, alpha)
        assert plain(text[row]) == best
        assert score[row].item() == pytest.approx(value, abs=1e-4)


def test_one_beam_is_greedy_unless_it_stops_for_a_better_end() -> None:
    likeliest = greedy(Chain(8), START, LONGEST)
    text, _ = beam(Chain(8), START, LONGEST, 1, alpha=20.0)  # the longer the better
    for one, other in zip(likeliest, text, strict=True):
        assert plain(other)[: len(plain(one))] == plain(one)
    for row in range(8):
        said = [BOS]
        while len(said) <= LONGEST and said[-1] != EOS:
            said.append(int(Chain(8)(torch.tensor([said]).repeat(8, 1))[row].argmax()))
        assert plain(likeliest[row]) == [token for token in said[1:] if token != EOS]


def test_more_beams_find_better_texts_and_longer_ones_are_preferred() -> None:
    one, some, every = (beam(Chain(8, n), START, LONGEST, n)[1] for n in (1, 4, 100))
    assert (every >= some - 1e-6).all()
    assert every.mean() > one.mean() + 0.01
    sizes = [(beam(Chain(8, 20), START, LONGEST, 20, a)[0] != PAD).sum() for a in (0.0, 20.0)]
    assert sizes[0] < sizes[1]


def test_the_rest_of_a_batch_changes_nothing() -> None:
    whole, scores = beam(Chain(8, 3), START, LONGEST, 3)
    for row in range(8):
        alone = Chain(8, 3)
        alone.table = alone.table[3 * row : 3 * row + 3]
        text, score = beam(alone, START[:1], LONGEST, 3)
        assert plain(text[0]) == plain(whole[row])
        assert score.item() == pytest.approx(scores[row].item())


def test_samples_are_the_seeds_and_as_often_as_they_are_likely() -> None:
    rows = 4000
    chain = Chain(1)
    chain.table = chain.table.expand(rows, -1, -1, -1)
    start = torch.full((rows, 1), BOS)
    drawn = [sample(chain, start, 2, 2.0, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    found = drawn[0][:, 1].bincount(minlength=IDS) / rows
    expected = (chain.table[0, BOS, BOS] / 2).softmax(0)
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0)


def test_a_translator_says_the_same_whole_step_by_step_and_padded() -> None:
    torch.manual_seed(0)
    model = Translator(12, width=16, heads=2, layers=1).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    source = torch.randint(4, 12, (3, 5))
    said = torch.cat([torch.full((3, 1), BOS), torch.randint(4, 12, (3, 2))], 1)
    with torch.no_grad():
        once, whole = (find(model, source)(said) for find in (translating, asking))
    torch.testing.assert_close(once, whole)
    padded = torch.nn.functional.pad(source, (0, 3))
    for beams in (1, 3):
        results = [translate(m, source, beams, longest=6) for m in (model, model.__call__)]
        results.append(translate(model, padded, beams, longest=6))
        assert all(torch.equal(results[0], one) for one in results[1:])
        assert (results[0] != EOS).all()
