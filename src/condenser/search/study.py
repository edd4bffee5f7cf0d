"""A search: asks Optuna for settings, tells it the results, and resumes after a kill."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna import Trial as OptunaTrial
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.storages import JournalStorage
from optuna.trial import TrialState

from condenser.errors import CondenserError, ConfigError
from condenser.search.grid import SPACE, Grid
from condenser.search.journal import Journal, damaged
from condenser.search.objectives import Direction
from condenser.search.space import Choice, Interval, Space, size

NAME = "search"
ASKED = "asked"  # study attribute: what is searched
PATIENCE = 100  # consecutive repeated proposals after which to stop


@dataclass(frozen=True)
class Trial:
    """Proposed settings and their results.

    Attributes:
        number: index among the trials that were run, from 0.
        values: of the objectives, in order; None if unfinished or failed.
        reason: why it failed.
        run: the folder of its run, if it has one.
        id: its number in the journal, which also counts repeated proposals.
    """

    number: int
    params: Mapping[str, Any]
    state: Literal["running", "done", "failed"]
    values: tuple[float, ...] | None
    reason: str | None
    run: str | None
    id: int


class Search:
    """Optuna's ask and tell with a journal, so that a search can be resumed.

    The n-th trial's settings depend on ``seed``, n and the results so far, not on how often the
    search was interrupted. Settings are not proposed twice.

    Args:
        path: the journal's file.
        space: the search space; not empty.
        directions: maximize or minimize, one an objective.
        sampler: makes an Optuna sampler from ``seed``.
        asked: everything else that determines the results; another search's journal is rejected.

    Raises:
        ConfigError: an empty space, or one the sampler cannot enumerate.
        DamagedError: the journal is damaged.
    """

    def __init__(
        self,
        path: Path,
        space: Space,
        directions: Sequence[Direction],
        sampler: Callable[..., optuna.samplers.BaseSampler],
        seed: int,
        asked: Mapping[str, Any],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        if not space:
            raise ConfigError("the space of the search", "{}", "at least one setting with values")
        self.path, self.space, self.seed = path, space, seed
        self._sampler = sampler
        self.size = size(space)
        if isinstance(self._first(), Grid) and self.size is None:
            allowed = "lists and ranges where the sampler is a grid; an interval has no end"
            raise ConfigError("the space of the search", ", ".join(space), allowed)
        self._distributions = drawn = {key: distribution(part) for key, part in space.items()}
        texts = {key: distribution_to_json(d) for key, d in drawn.items()}
        whole = {**asked, "directions": list(directions), "seed": seed, **texts}
        self._journal, self._study = self._open(directions)
        attributes = self._study.user_attrs
        if ASKED in attributes and not any(t.state == "done" for t in self.trials):
            if attributes[ASKED] != whole:
                path.unlink()  # it has no results: the failed configuration was fixed
                self._journal, self._study = self._open(directions)
        elif ASKED in attributes:
            refuse_another(attributes[ASKED], whole, path)
        if ASKED not in self._study.user_attrs:
            self._study.set_user_attr(ASKED, json.loads(json.dumps(whole)))
            self._study.set_user_attr(SPACE, texts)
            self._journal.commit()

    def _open(self, directions: Sequence[Direction]) -> tuple[Journal, optuna.Study]:
        journal = Journal(self.path)
        try:
            storage = JournalStorage(journal)
            known = optuna.get_all_study_names(storage)
        except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise damaged(str(self.path)) from error
        if NAME in known:
            return journal, optuna.load_study(study_name=NAME, storage=storage)
        return journal, optuna.create_study(
            study_name=NAME, storage=storage, directions=list(directions)
        )

    @property
    def trials(self) -> list[Trial]:
        """All trials, in order."""
        found = [t for t in self._study.get_trials(deepcopy=False) if "repeats" not in t.user_attrs]
        return [self._trial(place, trial) for place, trial in enumerate(found)]

    def _trial(self, number: int, trial: optuna.trial.FrozenTrial) -> Trial:
        states = {"COMPLETE": "done", "FAIL": "failed"}
        state: Any = states.get(trial.state.name, "running")
        values = tuple(trial.values) if state == "done" else None
        reason, run = (trial.user_attrs.get(key) for key in ("reason", "run"))
        return Trial(number, self._clean(trial.params), state, values, reason, run, trial.number)

    def ask(self, count: int) -> list[Trial]:
        """The next trials: interrupted ones first, else up to ``count`` new ones; fewer, or none,
        if nothing new is proposed."""
        left = [trial for trial in self.trials if trial.state == "running"]
        if left:
            return left
        asked: list[Trial] = []
        while len(asked) < count and (trial := self._ask_new()):
            asked.append(trial)
        self._journal.commit()
        return asked

    def _ask_new(self) -> Trial | None:
        tried = [self._clean(trial.params) for trial in self.trials]
        if self.size is not None and len(tried) >= self.size:
            return None
        for _ in range(PATIENCE):
            number = len(self._study.get_trials(deepcopy=False))
            self._study.sampler = self._draw(number)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trial = self._study.ask(dict(self._distributions))
            params = self._clean(trial.params)
            if params not in tried:
                return Trial(len(tried), params, "running", None, None, None, trial.number)
            trial.set_user_attr("repeats", tried.index(params))
            self._study.tell(trial, state=TrialState.FAIL)
        return None

    def tell(self, trial: Trial, values: Sequence[float], run: str | None = None) -> None:
        """Record the objective values of a trial; committed at once."""
        self._end(trial, {"run": run} if run else {}, TrialState.COMPLETE, list(values))

    def fail(self, trial: Trial, reason: str, run: str | None = None) -> None:
        """Record a failed trial and the reason; committed at once."""
        said = {"reason": reason} | ({"run": run} if run else {})
        self._end(trial, said, TrialState.FAIL, None)

    def _end(self, trial: Trial, said: Mapping[str, str], state: Any, values: Any) -> None:
        self._study.sampler = self._draw(trial.id)
        for key, value in said.items():
            OptunaTrial(self._study, trial.id).set_user_attr(key, value)
        self._study.tell(trial.id, values, state=state)
        self._journal.commit()

    def front(self) -> list[Trial]:
        """The Pareto-optimal trials, in order."""
        best = {trial.number for trial in self._study.best_trials}
        return [trial for trial in self.trials if trial.state == "done" and trial.id in best]

    def _first(self) -> optuna.samplers.BaseSampler:
        try:
            return self._draw(0)
        except (TypeError, ValueError) as error:
            raise CondenserError(f"the sampler of the search: {error}") from error

    def _draw(self, number: int) -> optuna.samplers.BaseSampler:
        """A fresh sampler per trial, so its random numbers do not depend on earlier ones."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about experimental options
            return self._sampler(seed=random.Random(f"{self.seed}/{number}").getrandbits(32))

    def _clean(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {key: self.space[key].clean(params[key]) for key in self.space if key in params}


def distribution(setting: Choice | Interval) -> BaseDistribution:
    """A setting of the space as Optuna knows it."""
    if isinstance(setting, Choice):
        return CategoricalDistribution(setting.values)
    if setting.whole:
        low, high = int(setting.low), int(setting.high)
        return IntDistribution(low, high, log=setting.log, step=int(setting.step or 1))
    return FloatDistribution(setting.low, setting.high, log=setting.log, step=setting.step)


def refuse_another(was: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """CondenserError if the journal belongs to another search, naming the difference."""
    now = json.loads(json.dumps(now))
    other = sorted(key for key in {**was, **now} if was.get(key) != now.get(key))
    if other:
        raise CondenserError(
            f"{path}: the search in this folder was begun with another {', '.join(other)}; "
            "give this one a name= of its own, or delete the file"
        )
