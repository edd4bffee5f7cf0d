"""Texts out of networks that predict the next token: greedy, beam search, sampling."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.models.causal import CausalTransformer
from condenser.models.transformer import Past
from condenser.models.translator import Translator, seen
from condenser.tasks import BOS, EOS, PAD

Following = Callable[[Tensor], Tensor]  # prefixes (n, t) → logits (n, vocabulary) of what follows


@torch.no_grad()
def greedy(following: Following, start: Tensor, longest: int) -> Tensor:
    """The most likely token, again and again, until EOS.

    Args:
        start: (n, t) prefixes.
        longest: tokens that are added at most.

    Returns:
        (n, up to ``longest``) what was added, without EOS, padding behind it.
    """
    said, ended = start, torch.zeros(len(start), dtype=torch.bool, device=start.device)
    for _ in range(longest):
        token = following(said).argmax(1)
        ended |= token == EOS
        said = torch.cat([said, token.masked_fill(ended, PAD)[:, None]], dim=1)
        if ended.all():
            break
    return said[:, start.shape[1] :]


@torch.no_grad()
def sample(
    following: Following,
    start: Tensor,
    count: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """(n, t + count): ``start`` and tokens drawn from softmax(logits / temperature), no padding."""
    said = start
    for _ in range(count):
        logits = following(said).float() / temperature
        chances = logits.index_fill(1, said.new_tensor([PAD]), -torch.inf).softmax(1)
        said = torch.cat([said, torch.multinomial(chances, 1, generator=generator)], dim=1)
    return said


def penalty(length: int, alpha: float) -> float:
    """((5 + length) / 6)^α, what a sum of log p is divided by: the greater α, the longer texts.

    Source: Wu et al. 2016, https://arxiv.org/abs/1609.08144, equation 14
    """
    return float(((5 + length) / 6) ** alpha)


@torch.no_grad()
def beam(
    following: Following, start: Tensor, longest: int, beams: int, alpha: float = 0.6
) -> tuple[Tensor, Tensor]:
    """The best of the texts that the ``beams`` likeliest prefixes of every length lead to.

    A text's score is Σ log p / ((5 + length) / 6)^α over its tokens and its EOS; a text of
    ``longest`` tokens needs none. The search ends once no prefix that is left can score better, so
    that the rows of a batch do not change each other.

    Args:
        following: is asked for (n · beams, t) prefixes, those of a row one after the other.
        start: (n, t) prefixes.

    Returns:
        (n, up to ``longest``) tokens without EOS, padding behind them; (n,) scores.
    """
    rows, begin = len(start), start.shape[1]
    row = torch.arange(rows, device=start.device)
    said, text = start.repeat_interleave(beams, 0), start.new_full((rows, longest), PAD)
    score = torch.full((rows, beams), -torch.inf, device=start.device)
    score[:, 0], best = 0.0, torch.full((rows,), -torch.inf, device=start.device)

    def keep(value: Tensor, of: Tensor) -> None:
        """``said[of]`` as a row's text, where its value is the best so far."""
        better = (value > best) | ((best == -torch.inf) & (value == best))
        whole = F.pad(said[of, begin:], (0, longest - (said.shape[1] - begin)), value=PAD)
        text[better], best[better] = whole[better], value[better]

    for length in range(1, longest + 1):
        total = F.log_softmax(following(said).float(), dim=1).unflatten(0, (rows, beams))
        total = total + score[:, :, None]
        value, which = (total[:, :, EOS] / penalty(length, alpha)).max(1)
        keep(value, row * beams + which)
        total[:, :, EOS] = -torch.inf
        score, place = total.flatten(1).topk(beams)
        source = row[:, None] * beams + place // total.shape[2]
        token = (place % total.shape[2]).flatten()
        said = torch.cat([said[source.flatten()], token[:, None]], dim=1)
        if (score[:, 0] / penalty(longest, alpha) <= best).all():
            break
    if said.shape[1] == begin + longest:
        keep(score[:, 0] / penalty(longest, alpha), row * beams)
    used = int((text != PAD).any(0).sum())
    return text[:, :used], best


def continuing(model: nn.Module) -> Following:
    """What a language model says next, asked for longer and longer prefixes of the same texts: what
    ``CausalTransformer`` has seen of them it does not look at again."""
    if not isinstance(model, CausalTransformer):
        return lambda said: model(said)[:, -1]
    past: list[Past | None] = []

    def following(said: Tensor) -> Tensor:
        nonlocal past
        logits, past = model.step(said[:, -1:] if past else said, past)
        return logits[:, -1]

    return following


def translating(model: Translator, source: Tensor, beams: int = 1) -> Following:
    """What ``model`` says next of (n, length) sources, each of which is asked for ``beams`` times
    in a row; the encoder runs once."""
    memory = model.encode(source).repeat_interleave(beams, 0)
    mask = seen(source).repeat_interleave(beams, 0)
    return lambda said: model.head(model.states(memory, mask, said)[:, -1])


def asking(network: Callable[[Tensor], Tensor], source: Tensor, beams: int = 1) -> Following:
    """The same of any network of (n, 2, length) ids, as a deployed file is one."""
    whole = source.repeat_interleave(beams, 0)

    def following(said: Tensor) -> Tensor:
        length = max(whole.shape[1], said.shape[1])
        rows = (F.pad(ids, (0, length - ids.shape[1]), value=PAD) for ids in (whole, said))
        return torch.as_tensor(network(torch.stack(list(rows), 1)))[:, said.shape[1] - 1]

    return following


def translate(
    network: Translator | Callable[[Tensor], Tensor],
    source: Tensor,
    beams: int = 1,
    alpha: float = 0.6,
    longest: int | None = None,
) -> Tensor:
    """(n, …) tokens of the translations of (n, length) sources, without BOS and EOS.

    Args:
        beams: 1: greedy.
        longest: of a translation; null: twice the longest source and ten.
    """
    start = torch.full((len(source), 1), BOS, device=source.device)
    limit = 2 * source.shape[1] + 10 if longest is None else longest
    find = translating if isinstance(network, Translator) else asking
    if beams == 1:
        return greedy(find(network, source), start, limit)  # type: ignore[arg-type]
    return beam(find(network, source, beams), start, limit, beams, alpha)[0]  # type: ignore[arg-type]
