"""Distillation objectives, one per file."""

from condenser.distill.ab import AB
from condenser.distill.adjacent_cc import AdjacentCC
from condenser.distill.at import AT
from condenser.distill.base import LogitObjective, Objective, Outputs
from condenser.distill.bpr import BPR
from condenser.distill.cat_kd import CATKD
from condenser.distill.cc import CC
from condenser.distill.crd import CRD
from condenser.distill.ctkd import CTKD
from condenser.distill.de import DE
from condenser.distill.dist import DIST
from condenser.distill.dkd import DKD
from condenser.distill.feature import FeatureObjective
from condenser.distill.fitnet import FitNet
from condenser.distill.fsp import FSP
from condenser.distill.ft import FT
from condenser.distill.gkd import GKD
from condenser.distill.hard_teacher import HardTeacher
from condenser.distill.infonce import InfoNCE
from condenser.distill.kd import KD
from condenser.distill.label_smoothing import LabelSmoothing
from condenser.distill.labels import Labels
from condenser.distill.logit_mse import LogitMSE
from condenser.distill.mgd import MGD
from condenser.distill.mlkd import MLKD
from condenser.distill.multi_temperature import MultiTemperature
from condenser.distill.nkd import NKD
from condenser.distill.nst import NST
from condenser.distill.ofa import OFA
from condenser.distill.pkt import PKT
from condenser.distill.projector_ensemble import ProjectorEnsemble
from condenser.distill.ranking_distillation import RankingDistillation
from condenser.distill.reviewkd import ReviewKD
from condenser.distill.rkd import RKD
from condenser.distill.rrd import RRD
from condenser.distill.sampled_softmax import SampledSoftmax
from condenser.distill.sdd import SDD
from condenser.distill.sequence_kd import SequenceKD
from condenser.distill.sp import SP
from condenser.distill.srd import SRD
from condenser.distill.srrl import SRRL
from condenser.distill.standardized_kd import StandardizedKD
from condenser.distill.sum import Sum
from condenser.distill.tekap import TeKAP
from condenser.distill.ttm import TTM
from condenser.distill.vid import VID
from condenser.distill.virtual_teacher import VirtualTeacher
from condenser.distill.vkd import VkD
from condenser.distill.wkd_f import WKDF
from condenser.distill.wkd_l import WKDL
from condenser.distill.wttm import WTTM

__all__ = [
    "AB",
    "AT",
    "BPR",
    "CATKD",
    "CC",
    "CRD",
    "CTKD",
    "DE",
    "DIST",
    "DKD",
    "FSP",
    "FT",
    "GKD",
    "KD",
    "MGD",
    "MLKD",
    "NKD",
    "NST",
    "OFA",
    "PKT",
    "RKD",
    "RRD",
    "SDD",
    "SP",
    "SRD",
    "SRRL",
    "TTM",
    "VID",
    "WKDF",
    "WKDL",
    "WTTM",
    "AdjacentCC",
    "FeatureObjective",
    "FitNet",
    "HardTeacher",
    "InfoNCE",
    "LabelSmoothing",
    "Labels",
    "LogitMSE",
    "LogitObjective",
    "MultiTemperature",
    "Objective",
    "Outputs",
    "ProjectorEnsemble",
    "RankingDistillation",
    "ReviewKD",
    "SampledSoftmax",
    "SequenceKD",
    "StandardizedKD",
    "Sum",
    "TeKAP",
    "VirtualTeacher",
    "VkD",
]
