"""The W&B workspace of a project: the trade-off, what moved it, and how training went.

Made of the record keys that ``WandbTracker`` puts into summary, history and the table ``records``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from condenser.errors import CondenserError
from condenser.tracking.base import Record
from condenser.tracking.timeout import within
from condenser.tracking.values import chart_name
from condenser.tracking.wandb_start import brief, find_mode, no_analytics, stop_service
from condenser.tracking.wandb_tables import ACCURACY, SIZE

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Section, Workspace

SECONDS = 30  # that a server may take to answer
SETTINGS = ("distill/temperature", "distill/alpha", "prune/rate", "cut/rate", "quantize/bits")
STAGES = ("teacher", "student", "distill", "prune")  # of the default recipe, those that train
CURVES = ("val/accuracy", "train/loss")
SIZES = (SIZE, "size/packed_bytes", "compute/nonzero_macs", "latency/ms_b1")
HEAT_MAP = "condenser-temperature-alpha"


@dataclass(frozen=True)
class Contents:
    """What the panels are about.

    Attributes:
        settings: record keys of what was varied, an axis of the parallel coordinates each.
        stages: names of the charts of stages that trained, a panel of curves each.
    """

    settings: tuple[str, ...] = SETTINGS
    stages: tuple[str, ...] = STAGES


def contents(records: Iterable[Record], varied: Iterable[str] = ()) -> Contents:
    """Of these runs: the stages they trained, and the settings among ``varied`` that differ."""
    records = list(records)
    recipes: dict[object, list[Record]] = {}
    for record in records:
        if record["stage"] != "baseline":
            recipes.setdefault((record.get("experiment"), record["run"]), []).append(record)
    charts: dict[str, int] = {}
    for recipe in recipes.values():
        places = {int(record.get("position") or 0): str(record["stage"]) for record in recipe}
        words = [places.get(place, "") for place in range(max(places) + 1)]
        for record in recipe:
            if record.get("cost/train_seconds"):
                place = int(record.get("position") or 0)
                name = chart_name(f"{place}-{record['stage']}", words)
                charts[name] = min(place, charts.get(name, place))
    known = dict.fromkeys((*SETTINGS, *varied, "seed"))
    settings = [
        key for key in known if len({r[key] for r in records if r.get(key) is not None}) > 1
    ]
    names = sorted(charts, key=lambda name: (charts[name], name))
    return Contents(tuple(settings) or SETTINGS, tuple(names) or STAGES)


def workspace(title: str, project: str, entity: str, shown: Contents) -> Workspace:
    """The workspace, not yet saved anywhere. CondenserError without wandb-workspaces."""
    ws = needed()[0]
    return ws.Workspace(
        name=title,
        entity=entity,
        project=project,
        sections=[*trade_off(entity, shown), curves(shown)],
        auto_generate_panels=False,
    )


def trade_off(entity: str, shown: Contents) -> list[Section]:
    """Accuracy over size, with the line that no run is above; and the settings behind it."""
    ws, wr = needed()
    scatters = [
        wr.ScatterPlot(
            title=f"{ACCURACY} over {size}",
            x=wr.SummaryMetric(size),
            y=wr.SummaryMetric(ACCURACY),
            log_x=True,
            running_ymax=True,
            layout=wr.Layout(w=12, h=8),
        )
        for size in SIZES
    ]
    heat = wr.CustomChart(
        query={"summaryTable": {"tableKey": "records"}},
        chart_name=f"{entity}/{HEAT_MAP}",
        chart_fields={"x": "distill/temperature", "y": "distill/alpha", "color": ACCURACY},
        chart_strings={"title": f"{ACCURACY} over temperature and alpha"},
    )
    axes = [wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(k)) for k in shown.settings]
    axes += [
        wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(SIZE), log=True),
        wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(ACCURACY)),
    ]
    parallel = wr.ParallelCoordinatesPlot(
        title="settings, size and accuracy", columns=axes, layout=wr.Layout(w=24, h=8)
    )
    return [
        ws.Section(name="Accuracy and size", panels=scatters, is_open=True),
        ws.Section(name="What moves it", panels=[heat, parallel], is_open=True),
    ]


def curves(shown: Contents) -> Section:
    """Each stage's curves over its own steps."""
    ws, wr = needed()
    panels = [
        wr.LinePlot(title=f"{stage} {key}", x=f"{stage}/step", y=[f"{stage}/{key}"])
        for stage in shown.stages
        for key in CURVES
    ]
    return ws.Section(name="Training", panels=panels, is_open=True)


def heat_map() -> dict[str, Any]:
    """The Vega-Lite chart that W&B fills with the rows of the ``records`` tables."""
    square = {"type": "ordinal", "axis": {"labelAngle": 0}}
    value = {"field": "${field:color}", "type": "quantitative", "aggregate": "mean"}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": "${string:title}",
        "data": {"name": "wandb"},
        "transform": [
            {"filter": "isValid(datum['${field:x}']) && isValid(datum['${field:y}'])"},
        ],
        "encoding": {
            "x": {"field": "${field:x}", "title": "temperature", **square},
            "y": {"field": "${field:y}", "title": "alpha", "sort": "descending", **square},
        },
        "layer": [
            {
                "mark": {"type": "rect", "tooltip": True},
                "encoding": {"color": {**value, "scale": {"scheme": "viridis"}}},
            },
            {"mark": "text", "encoding": {"text": {**value, "format": ".2%"}}},
        ],
    }


def as_json(made: Workspace) -> str:
    """The workspace and its chart as W&B takes them."""
    view = made._to_model().model_dump(by_alias=True, exclude_none=True, mode="json")
    return json.dumps({"view": view, "charts": {HEAT_MAP: heat_map()}}, indent=1) + "\n"


def can_save(mode: str | None) -> bool:
    """Whether there is a W&B to save to: a key, and nothing that says offline."""
    import wandb

    with no_analytics():
        try:
            wandb.setup(wandb.Settings(silent=True))
            return (mode or find_mode()) == "online"
        finally:
            stop_service()


def save(title: str, project: str, entity: str | None, shown: Contents) -> str:
    """Put the workspace on W&B; the address of it.

    Raises:
        CondenserError: the server does not answer, or refuses.
    """
    import wandb

    address: list[str] = []

    def put() -> None:
        wandb.setup(wandb.Settings(silent=True))
        api = wandb.Api()
        owner = entity or api.default_entity
        if owner is None:
            raise ValueError("the account has no default entity; name one with --entity")
        api.create_custom_chart(
            entity=owner,
            name=HEAT_MAP,
            display_name="Condenser: temperature and alpha",
            spec_type="vega2",
            access="private",
            spec=heat_map(),
        )
        address.append(workspace(title, project, owner, shown).save().url)

    needed()
    with no_analytics():
        try:
            within(SECONDS, put)
        except Exception as error:
            raise CondenserError(f"W&B did not take the dashboard: {brief(error)}") from error
        finally:
            stop_soon()
    return address[0]


def stop_soon() -> None:
    """End W&B's background process, which may be waiting for the server, in a moment."""
    try:
        within(3, stop_service)
    except TimeoutError:
        return


def needed() -> tuple[Any, Any]:
    """The modules that panels are made with."""
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
    except ImportError as error:
        what = "a dashboard needs wandb-workspaces: pip install -r requirements.txt"
        raise CondenserError(what) from error
    return ws, wr


def varied(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Record keys of the settings that differ between configs: ``prune.rate`` is ``prune/rate``.

    What stands outside any section is a run's name, not a setting.
    """
    flat = [dict(leaves(config)) for config in configs]
    keys = dict.fromkeys(key for one in flat for key in one)
    return [key for key in keys if "/" in key and len({str(one.get(key)) for one in flat}) > 1]


def leaves(node: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{path}{key}/")
        else:
            yield f"{path}{key}", value
