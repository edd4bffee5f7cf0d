"""experiment=mnist_bytes: widths, three seeds each; the same command again goes on.

    python experiments/mnist_bytes/run.py data.root=FOLDER [overrides of train.py]

Every network's packed file is decoded and compared bit for bit: decoded.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tuned import ROOT, Arm, collect, sweep

SEEDS, RATE = "1,2,3", "5e-3"
WIDTHS = (14, 7, 26)  # below 700, 350 and 1,500 bytes
ARMS = {f"C{width}": Arm((f"student.model.width={width}",), tries=RATE) for width in WIDTHS}


def decoded(experiment: str) -> None:
    """experiments/NAME/decoded.json: bytes of every file, and whether it is the network."""
    sys.path.insert(0, str(ROOT / "src"))
    import torch

    from condenser.checkpoint.packed import pack, unpack
    from condenser.pipeline.reopen import saved_config, stored
    from condenser.store import stored_at

    found = {}
    for run in sorted(Path("runs", experiment).glob("C*/records.jsonl")):
        spec, model = stored_at(saved_config(run.parent), stored(run.parent, None)).load()
        data = pack(spec, model)
        _, back = unpack(data)
        same = all(map(torch.equal, model.state_dict().values(), back.state_dict().values()))
        assert (
            same
            and len(data)
            == json.loads(run.read_text().splitlines()[-1])["results"]["size/packed_bytes"]
        ), run
        found[run.parent.name] = len(data)
    (ROOT / "experiments" / experiment / "decoded.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    for name, arm in ARMS.items():
        sweep("mnist_bytes", "mnist_bytes", name, arm, SEEDS, RATE, sys.argv[1:])
        collect("mnist_bytes", ARMS, "size/packed_bytes", ())
        decoded("mnist_bytes")
