"""A sweeper that proposes the next jobs from what came of those before."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from condenser.errors import CondenserError
from condenser.files import write_whole

SECTION = "hydra.sweeper."
PLACES = ("hydra", "runs", "store", "run", "logger")  # they change no result


class SearchSweeper(Sweeper):
    """Optuna proposes, the configured launcher runs, the runs' last records say what came of it.

    A trial that fails is kept as failed. The same command goes on with a search that was killed,
    and with a greater ``n_trials`` with one that had ended.

    Args:
        maximize, minimize: record keys.
        n_trials: how many are tried.
        jobs: trials proposed together, before any of them is known.
        seed: of the sampler.
        sampler: makes an Optuna sampler of a seed.
        params: what to choose from, beside the sweeps among the overrides.
    """

    def __init__(
        self,
        maximize: Sequence[str],
        minimize: Sequence[str],
        n_trials: int,
        jobs: int,
        seed: int,
        sampler: Callable[..., Any],
        params: dict[str, Any] | None = None,
    ) -> None:
        self.settings: dict[str, Any] = {
            "maximize": plain(maximize),
            "minimize": plain(minimize),
            "n_trials": n_trials,
            "jobs": jobs,
            "seed": seed,
            "params": plain(params) or {},
        }
        self.sampler = sampler

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.context, self.cfg = hydra_context, config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from condenser.config import schema
        from condenser.search.journal import alone
        from condenser.search.objectives import Objectives
        from condenser.search.study import Search

        schema.check_as(schema.Searching, self.settings, SECTION)
        objectives = Objectives(self.settings["maximize"], self.settings["minimize"])
        objectives.check(SECTION)
        self.fixed, space = self.split(arguments)
        self.folder = Path(str(self.cfg.runs)) / str(self.cfg.name)
        self.check(space)
        self.folder.mkdir(parents=True, exist_ok=True)
        with alone(self.folder / "search.journal") as journal:
            found = Search(
                journal,
                space,
                objectives.directions,
                self.sampler,
                self.settings["seed"],
                {"objectives": objectives.keys, **self.asked()},
            )
            write_whole(self.folder / "multirun.yaml", OmegaConf.to_yaml(self.cfg))
            return self.go(found, objectives)

    def split(self, arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
        """The overrides that all trials share, and the space that the others span."""
        from hydra_plugins.condenser_search.space import setting

        params = [f"{key}={value}" for key, value in self.settings["params"].items()]
        parser = OverridesParser.create(config_loader=self.context.config_loader)
        fixed: dict[str, str] = {}
        space: dict[str, Any] = {}
        for override in parser.parse_overrides([*params, *arguments]):
            key = override.get_key_element()
            fixed.pop(key, None)
            space.pop(key, None)  # what is typed goes before what a file says
            if override.is_sweep_override():
                space[key] = setting(key, override)
            elif override.is_delete():
                fixed[key] = str(override.input_line)
            else:
                fixed[key] = f"{key}={override.get_value_element_as_str()}"
        return list(fixed.values()), space

    def asked(self) -> dict[str, Any]:
        """What else determines the results, in a word each."""
        from condenser.store import key_of

        whole: Any = OmegaConf.to_container(self.cfg, resolve=False)
        rest = {key: value for key, value in whole.items() if key not in PLACES}
        sampler = getattr(self.sampler, "func", self.sampler).__name__
        options = sorted(getattr(self.sampler, "keywords", {}).items())
        return {"sampler": [sampler, options], "settings": key_of(rest)}

    def check(self, space: dict[str, Any]) -> None:
        """Every value of the space in a config of its own, all that cannot be told at once."""
        from condenser.search.space import corners

        if not space:
            raise CondenserError(
                "nothing to search: give a setting several values, as prune.rate=0.5,0.9 or "
                f"'prune.rate=interval(0.5,0.98)', or list them in {SECTION}params"
            )
        problems: list[str] = []
        for params in corners(space):
            try:
                with self.composed(params):
                    pass
            except CondenserError as error:
                problems += str(error).splitlines()
        if problems:
            raise CondenserError("\n".join(dict.fromkeys(problems)))

    def overrides(self, params: dict[str, Any]) -> list[str]:
        from condenser.search.outcome import text

        varying = [f"{key}={text(value)}" for key, value in params.items()]
        return [*varying, *self.fixed]  # a run's name begins as they do

    @contextmanager
    def composed(self, params: dict[str, Any]) -> Iterator[str]:
        """The name of a trial's run, its config checked; CondenserError where it is a bad one."""
        from condenser.pipeline.resolve import checked

        cfg = self.context.config_loader.load_sweep_config(self.cfg, self.overrides(params))
        with open_dict(cfg):
            cfg.hydra.job.id = cfg.hydra.job.num = 0
        hydra, before = HydraConfig.instance(), HydraConfig.instance().cfg
        try:
            hydra.set_config(cfg)
            run = str(cfg.run)
            with open_dict(cfg):
                del cfg["hydra"]
            checked(cfg)
            yield run
        finally:
            hydra.cfg = before

    def go(self, found: Any, objectives: Any) -> list[dict[str, Any]]:
        """Ask, launch and tell until there have been ``n_trials``; the front."""
        from condenser.search import outcome

        total, jobs = self.settings["n_trials"], self.settings["jobs"]
        while (left := total - sum(t.state != "running" for t in found.trials)) > 0:
            batch = found.ask(min(jobs, left))
            if not batch:
                print("search: every combination that is proposed has been tried")
                break
            self.launch(batch, found, objectives)
            for trial in batch:
                done = found.trials[trial.number]
                print(f"trial {trial.number + 1}/{total}  {outcome.line(done, objectives.keys)}")
            outcome.write(self.folder / "front.json", found, objectives.keys)
        if found.trials and not any(trial.state == "done" for trial in found.trials):
            first = found.trials[0].reason
            raise CondenserError(f"none of {len(found.trials)} trials came through: {first}")
        outcome.mark(found, self.folder)
        front = found.front()
        print(f"front: {len(front)} of {len(found.trials)} trials; {self.folder / 'front.json'}")
        for trial in sorted(front, key=lambda t: t.values or ()):
            print(f"  {outcome.line(trial, objectives.keys)}  {self.folder / str(trial.run)}")
        return [dict(trial.params) for trial in front]

    def launch(self, batch: Sequence[Any], found: Any, objectives: Any) -> None:
        """Run the trials, tell what came of each."""
        runs: dict[int, str] = {}
        for trial in batch:
            try:
                with self.composed(trial.params) as run:
                    runs[trial.number] = run
            except CondenserError as error:
                found.fail(trial, str(error))
        ready = [trial for trial in batch if trial.number in runs]
        words = [self.overrides(trial.params) for trial in ready]
        returns = self.launcher.launch(words, initial_job_idx=ready[0].number) if ready else []
        for trial, job in zip(ready, returns, strict=True):
            self.tell(trial, job, runs[trial.number], found, objectives)

    def tell(self, trial: Any, job: JobReturn, run: str, found: Any, objectives: Any) -> None:
        from condenser.runs import records
        from condenser.search.objectives import UnknownObjectiveError

        if job.status != JobStatus.COMPLETED:
            found.fail(trial, reason(job._return_value), run)
            return
        try:
            last = records.final(records.read([self.folder / run / records.FILE]))
            found.tell(trial, objectives.read(last), run)
        except UnknownObjectiveError:
            raise  # no trial will have it
        except CondenserError as error:
            found.fail(trial, str(error), run)


def reason(error: Any) -> str:
    """An exception in a line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, CondenserError) else f"{type(error).__name__}: {text}"


def plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
