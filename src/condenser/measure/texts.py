"""Texts beside what they should be: BLEU and chrF, as sacrebleu counts them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from condenser.capture import device_of, evaluating
from condenser.data.tokenizing import Tokenizer
from condenser.models.decoding import translate
from condenser.tasks import EOS, NOTHING, PAD

if TYPE_CHECKING:
    from condenser.data import Batch


def bleu_and_chrf(texts: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU and chrF2 of a corpus, 0 to 100, cased, with sacrebleu's own (13a) tokens.

    Sources: Papineni et al. 2002, https://aclanthology.org/P02-1040; Popović 2015,
    https://aclanthology.org/W15-3049; Post 2018, https://aclanthology.org/W18-6319
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    kinds: dict[str, Any] = {"bleu": BLEU(), "chrf": CHRF()}
    said, right = list(texts), [list(references)]
    return {name: round(kind.corpus_score(said, right).score, 6) for name, kind in kinds.items()}


@torch.no_grad()
def translations(
    network: nn.Module | Callable[[Tensor], Any],
    batches: Iterable[Batch],
    tokenizer: Tokenizer,
    beams: int = 1,
    alpha: float = 0.6,
) -> tuple[list[str], list[str]]:
    """What a network says of the sources of ``batches``, and what it should say, as texts.

    Args:
        beams: 1: greedy; see ``condenser.models.decoding.beam``.
    """
    device, found, right = device_of(network), [], []
    with evaluating(network):
        for batch in batches:
            source = batch.image[:, 0].to(device)
            source = source[:, : int((source != PAD).sum(1).max())]
            found += words(translate(network, source, beams, alpha), tokenizer)
            right += words(batch.target, tokenizer)
    return found, right


def words(ids: Tensor, tokenizer: Tokenizer) -> list[str]:
    """The text of each row of ids, without what ends and fills it."""
    left_out = {EOS, PAD, NOTHING}
    return [tokenizer.text([i for i in row if i not in left_out]).strip() for row in ids.tolist()]
