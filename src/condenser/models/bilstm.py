"""A recurrent network that reads a text in both directions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.errors import below_one, count
from condenser.models.bag import largest, table
from condenser.tasks import PAD


class BiLSTM(nn.Module):
    """ids (batch, length) → logits (batch, classes): an LSTM in each direction, the maximum over
    the text, a linear layer.

    Each text is reversed within its own length, so that padding changes nothing.

    Source: Conneau et al., "Supervised Learning of Universal Sentence Representations", 2017,
    section 3.2.2, https://arxiv.org/abs/1705.02364
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        vocab_size: int,
        width: int = 64,
        hidden: int = 64,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        below_one("model.dropout", dropout)
        self.embedding = table(vocab_size, count("model.width", width))
        self.onwards = nn.LSTM(width, count("model.hidden", hidden), batch_first=True)
        self.backwards = nn.LSTM(width, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2 * hidden, num_classes)

    def forward(self, ids: Tensor) -> Tensor:
        back = self.reversed(ids)
        ahead, _ = self.onwards(self.dropout(self.embedding(ids)))
        behind, _ = self.backwards(self.dropout(self.embedding(back)))
        found = torch.cat((largest(ahead, ids), largest(behind, back)), dim=1)
        logits: Tensor = self.fc(self.dropout(found))
        return logits

    @staticmethod
    def reversed(ids: Tensor) -> Tensor:
        """Each text from its last token to its first, then its padding."""
        place = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
        length = ((ids != PAD) * (place + 1)).amax(1, keepdim=True)
        return ids.gather(1, torch.where(place < length, length - 1 - place, place))
