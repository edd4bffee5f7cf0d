"""Structural cutting: channels, heads and blocks that are really gone."""

from condenser.compress.blocks.compression import CutBlocks, Density, LossChange, RandomBlock
from condenser.compress.channels.compression import CutChannels
from condenser.compress.channels.cost_model import predicted
from condenser.compress.channels.heads import CutHeads
from condenser.compress.channels.operations import KeptChannels, OpenAttention, RemovedBlocks
from condenser.compress.groups import Group, Slice, removed, zero

__all__ = [
    "CutBlocks",
    "CutChannels",
    "CutHeads",
    "Density",
    "Group",
    "KeptChannels",
    "LossChange",
    "OpenAttention",
    "RandomBlock",
    "RemovedBlocks",
    "Slice",
    "predicted",
    "removed",
    "zero",
]
