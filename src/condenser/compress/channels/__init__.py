"""Structural cutting: channels, heads and blocks that are really gone."""

from condenser.compress.blocks.compression import CutBlocks, Density, LossChange, RandomBlock
from condenser.compress.channels.compression import CutChannels
from condenser.compress.channels.cost_model import predicted
from condenser.compress.channels.data_driven import Activation, Taylor
from condenser.compress.channels.groups import Group, Slice, removed, zero
from condenser.compress.channels.heads import CutHeads
from condenser.compress.channels.importance import Importance, Random
from condenser.compress.channels.norms import LAMP, BatchNormScale, Norm
from condenser.compress.channels.operations import KeptChannels, OpenAttention, RemovedBlocks

__all__ = [
    "LAMP",
    "Activation",
    "BatchNormScale",
    "CutBlocks",
    "CutChannels",
    "CutHeads",
    "Density",
    "Group",
    "Importance",
    "KeptChannels",
    "LossChange",
    "Norm",
    "OpenAttention",
    "Random",
    "RandomBlock",
    "RemovedBlocks",
    "Slice",
    "Taylor",
    "predicted",
    "removed",
    "zero",
]
