"""Train, compress and measure along a recipe: hydra composes, mistakes become lines."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from condenser.config.error_messages import can_be_mended, explain, folders
from condenser.config.run_name import run_name
from condenser.errors import CondenserError, printable
from condenser.files import CONF
from condenser.runs.started import as_typed, of_run

if TYPE_CHECKING:
    from condenser.runs.records import Record


def main() -> None:
    """Run ``task`` under hydra. Mistakes of the user end in one line each and exit code 1."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hydra hands exceptions on instead of printing them
    # OpenMP's threads wait by spinning: two jobs on the same cores would take twenty times as long
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # DDP's advice on unused parameters, once a process and stage
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(as_typed(usage()), end="")
        return
    sys.argv[1:] = [lists_are_stages(word) for word in sys.argv[1:]]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")(task)()
    except Exception as error:
        if not can_be_mended(error):
            raise
        fail(explain(error))


def task(cfg: DictConfig) -> Record | None:
    """One job: check the whole config, then run it. Of a sweep, what is done is not done again."""
    # here, not above: a misspelt word or a completion is answered without them
    from condenser.pipeline.resolve import checked
    from condenser.runs import records, status

    try:
        plan = checked(cfg)
        in_a_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
        if in_a_sweep and (record := status.done_before(plan.folder, plan.digest, plan.inputs)):
            print(f"done before: {plan.config['run']}")
            return record
        from condenser.pipeline.run import run

        done = run(plan, of_run(HydraConfig.get().overrides.task))
        return records.final(done) if done else None  # of several processes the first has records
    except Exception as error:
        if HydraConfig.get().mode == RunMode.RUN and can_be_mended(error):
            fail(explain(error))
        raise  # a mistake of ours; or of a sweep, which goes on with the next job


def usage() -> str:
    """The page of --help. Hydra's own takes seconds to list the groups."""
    import yaml

    template = yaml.safe_load((CONF / "hydra/condenser.yaml").read_text(encoding="utf-8"))["help"][
        "template"
    ]
    groups: dict[str, list[str]] = {}
    for path in sorted(path for folder in folders() for path in folder.glob("*/*.yaml")):
        groups.setdefault(path.parent.name, []).append(path.stem)
    lines = [f"{name}: {', '.join(found)}" for name, found in groups.items() if name != "hydra"]
    return str(template).replace("$APP_CONFIG_GROUPS", "\n".join(lines) + "\n").strip("\n") + "\n"


def fail(message: str) -> None:
    print(f"condenser: {printable(as_typed(message))}", file=sys.stderr)
    sys.exit(1)


def lists_are_stages(word: str) -> str:
    """``recipe=[teacher,distill]`` is the list itself, where ``recipe=full`` picks a file."""
    return re.sub(r"^(\+*)recipe=(?=\[)", r"\1recipe.stages=", word)


def unread(*_: str) -> str:
    """``${oc.env:…}``: what a config says is in the config and in the command, and nowhere else.

    Raises:
        CondenserError: always.
    """
    from condenser.pipeline.resolve import UNREAD

    raise CondenserError(UNREAD)


# also where another process unpickles ``task``, as joblib's and submitit's do
OmegaConf.register_new_resolver("run_name", run_name, replace=True)
OmegaConf.register_new_resolver(  # conf/debug/fast.yaml: post-training quantisation has no epochs
    "if_trained", lambda kind: 0 if kind.endswith("PostTraining") else None, replace=True
)
for word in ("oc.env", "env"):
    OmegaConf.register_new_resolver(word, unread, replace=True)
