"""What a student learns from, one objective a file."""

from condenser.distill.base import LogitObjective, Objective, Outputs
from condenser.distill.ctkd import CTKD
from condenser.distill.dist import DIST
from condenser.distill.dkd import DKD
from condenser.distill.hard_teacher import HardTeacher
from condenser.distill.kd import KD
from condenser.distill.label_smoothing import LabelSmoothing
from condenser.distill.labels import Labels
from condenser.distill.logit_mse import LogitMSE
from condenser.distill.multi_temperature import MultiTemperature
from condenser.distill.nkd import NKD
from condenser.distill.standardized_kd import StandardizedKD
from condenser.distill.ttm import TTM
from condenser.distill.virtual_teacher import VirtualTeacher
from condenser.distill.wttm import WTTM

__all__ = [
    "CTKD",
    "DIST",
    "DKD",
    "KD",
    "NKD",
    "TTM",
    "WTTM",
    "HardTeacher",
    "LabelSmoothing",
    "Labels",
    "LogitMSE",
    "LogitObjective",
    "MultiTemperature",
    "Objective",
    "Outputs",
    "StandardizedKD",
    "VirtualTeacher",
]
