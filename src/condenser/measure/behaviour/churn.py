"""Which answers changed between two networks."""

from __future__ import annotations

from torch import Tensor

from condenser.measure.behaviour.reliability import confidence

HARD = 0.1  # share of the samples that the first network is least sure of


def changed(before: Tensor, after: Tensor, targets: Tensor) -> dict[str, float]:
    """Shares of the samples, and what samples that were hard lost.

    changed: another answer. broken: right before, wrong now. mended: wrong before, right now.
    hard_drop: accuracy lost on the tenth of the samples that the network before was least sure of;
    rest_drop: on the rest, as fractions of these.

    Args:
        before, after: logits (N, classes) of the same samples.

    Source: samples that pruning changes are the unusual ones: Hooker, Courville, Clark, Dauphin,
    Frome 2019, https://arxiv.org/abs/1911.05248
    """
    old, new = before.argmax(1), after.argmax(1)
    was, now = old == targets, new == targets
    lost = was.double() - now.double()
    order = confidence(before).argsort(stable=True)
    hard = order[: max(1, round(HARD * len(order)))]
    easy = order[len(hard) :]
    return {
        "changed": share(old != new),
        "broken": share(was & ~now),
        "mended": share(~was & now),
        "hard_drop": lost[hard].mean().item(),
        "rest_drop": lost[easy].mean().item() if len(easy) else 0.0,
    }


def exemplars(before: Tensor, after: Tensor, count: int) -> Tensor:
    """Indices of at most ``count`` samples whose answer changed, those first of whose first answer
    the network before was surest."""
    moved = (before.argmax(1) != after.argmax(1)).nonzero().flatten()
    return moved[confidence(before)[moved].argsort(descending=True, stable=True)][:count]


def share(flags: Tensor) -> float:
    return flags.double().mean().item()
