"""Encoder-decoder transformers: a source and what is already said of its translation → logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.models.transformer import Block, check_sizes, initialise
from condenser.tasks import PAD


class Translator(nn.Module):
    """ids int64 (batch, 2, length) → logits (batch, length, vocabulary), of the next token.

    Row 0 is the source, row 1 the decoder's input, which begins with BOS; the logits are at the
    positions of row 1. Both rows end in padding (0), which nobody looks at. One vocabulary and one
    embedding serve source, target and the head, as in Vaswani et al.; blocks are as in
    ``CausalTransformer``.

    Args:
        width, heads: of all blocks.
        layers, decoder_layers: of the encoder and of the decoder (null: as many).
        dropout: within the blocks and of the embeddings.

    Raises:
        ConfigError: a width that is no multiple of twice the heads.

    Source: Vaswani et al., "Attention Is All You Need", 2017, https://arxiv.org/abs/1706.03762
    """

    def __init__(
        self,
        vocab_size: int,
        width: int = 128,
        heads: int = 4,
        layers: int = 3,
        decoder_layers: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        depth = layers if decoder_layers is None else decoder_layers
        check_sizes(width, heads, dropout, layers=layers, decoder_layers=depth)
        self.embedding, self.drop = nn.Embedding(vocab_size, width), nn.Dropout(dropout)
        self.encoder = nn.ModuleList(Block(width, heads, False, dropout) for _ in range(layers))
        self.norm1 = nn.RMSNorm(width)
        blocks = (Block(width, heads, True, dropout, crossed=True) for _ in range(depth))
        self.decoder = nn.ModuleList(blocks)
        self.norm2, self.head = nn.RMSNorm(width), nn.Linear(width, vocab_size, bias=False)
        self.head.weight = self.embedding.weight
        initialise(self, layers + depth)

    def forward(self, ids: Tensor) -> Tensor:
        source, said = ids.unbind(1)
        logits: Tensor = self.head(self.states(self.encode(source), seen(source), said))
        return logits

    def encode(self, source: Tensor) -> Tensor:
        """(batch, length) → (batch, length, width), what the decoder looks at."""
        x, mask = self.drop(self.embedding(source)), seen(source)
        for block in self.encoder:
            x = block(x, None, mask)
        memory: Tensor = self.norm1(x)
        return memory

    def states(self, memory: Tensor, mask: Tensor, said: Tensor) -> Tensor:
        """(batch, length, width): what the head turns into the token that follows each of
        ``said``."""
        x = self.drop(self.embedding(said))
        for block in self.decoder:
            x = block(x, memory, mask)
        states: Tensor = self.norm2(x)
        return states


def seen(ids: Tensor) -> Tensor:
    """(batch, 1, 1, length): False for padding, but for the first place: a row of padding alone
    would have nothing to look at, and NaN for an answer."""
    first = torch.arange(ids.shape[1], device=ids.device) == 0
    return ((ids != PAD) | first)[:, None, None]
