"""experiment=objectives_tuned: one weight each tuned; the same command again goes on.

    python experiments/objectives_tuned/run.py data.root=FOLDER [overrides of train.py]

The weight, and the learning rate of labels, is the best of three on validation: what conf/distill
has, less and more.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tuned import TEACHER, Arm, compare, make_teacher

KNOBS = {
    "labels": ("optim.lr", "1e-3,2e-3,4e-3"),
    "kd": ("distill.alpha", "0.1,0.5,0.9"),
    "kd_std": ("distill.soft_weight", "1,3,9"),
    "dkd": ("distill.nontarget_weight", "0.5,2,8"),
    "nkd": ("distill.nontarget_weight", "0.5,1.5,4.5"),
    "dist": ("distill.inter_weight", "0.5,2,8"),
    "wttm": ("distill.soft_weight", "1,4,16"),
    "fitnet": ("distill.terms.fitnet.weight", "10,100,1000"),
    "at": ("distill.terms.at.weight", "100,1000,10000"),
    "rkd": ("distill.terms.rkd.weight", "0.1,1,10"),
    "pkt": ("distill.terms.pkt.weight", "3000,30000,300000"),
    "infonce": ("distill.terms.infonce.weight", "0.2,0.8,3.2"),
    "srd": ("distill.terms.srd.weight", "0.5,2,8"),
}

LOADED = f"teacher.load={TEACHER}"
ARMS = {name: Arm((f"distill={name}", LOADED), *knob) for name, knob in KNOBS.items()}

if __name__ == "__main__":
    make_teacher(sys.argv[1:])
    compare("objectives_tuned", ARMS, "1,2,3,4,5", sys.argv[1:], "size/packed_bytes")
