"""Decoder-only transformers: token ids → logits of the token that follows each."""

from __future__ import annotations

from torch import Tensor, nn

from condenser.models.transformer import Block, Past, check_sizes, initialise


class CausalTransformer(nn.Module):
    """ids int64 (batch, length) → logits (batch, length, vocabulary), of the next token.

    Pre-norm blocks with RMSNorm, rotary positions and gated linear units, as in Llama; the head's
    weight is the embedding's. A position sees itself and what stands before it, so that padding
    behind a text changes nothing. Any length: there is no position table.

    Args:
        width, heads, layers: of the blocks.
        dropout: within the blocks and of the embedding.

    Raises:
        ConfigError: a width that is no multiple of twice the heads.

    Source: Touvron et al., "LLaMA", 2023, https://arxiv.org/abs/2302.13971
    """

    def __init__(
        self,
        vocab_size: int,
        width: int = 64,
        heads: int = 2,
        layers: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(width, heads, dropout, layers=layers)
        self.embedding, self.drop = nn.Embedding(vocab_size, width), nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, True, dropout) for _ in range(layers)))
        self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, vocab_size, bias=False)
        self.head.weight = self.embedding.weight
        initialise(self, layers)

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.blocks(self.drop(self.embedding(ids)))))
        return logits

    def step(self, ids: Tensor, past: list[Past | None]) -> tuple[Tensor, list[Past | None]]:
        """Logits of ids behind those that ``past`` holds, and what it holds then, of each block; []
        at the begin, then one token at a time."""
        x = self.drop(self.embedding(ids))
        kept: list[Past | None] = []
        for place, block in enumerate(self.blocks):
            before = past[place] if past else None
            if isinstance(block, Block):
                x, before = block.step(x, before)
            else:  # what is left of one that was removed
                x = block(x)
            kept.append(before)
        return self.head(self.norm(x)), kept
