"""Structural cutting: channels, heads and blocks that are really gone."""

from condenser.compress.structure.blocks import CutBlocks, Density, LossChange, RandomBlock
from condenser.compress.structure.channels import CutChannels
from condenser.compress.structure.data_driven import Activation, Taylor
from condenser.compress.structure.groups import Group, Slice, removed, zero
from condenser.compress.structure.heads import CutHeads
from condenser.compress.structure.importance import Importance, Random
from condenser.compress.structure.norms import BatchNormScale, Lamp, Norm
from condenser.compress.structure.operations import KeptChannels, OpenAttention, RemovedBlocks
from condenser.compress.structure.predict import predicted

__all__ = [
    "Activation",
    "BatchNormScale",
    "CutBlocks",
    "CutChannels",
    "CutHeads",
    "Density",
    "Group",
    "Importance",
    "KeptChannels",
    "Lamp",
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
