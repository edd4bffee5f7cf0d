"""measure: what a network gives away and what it keeps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from condenser.config.schema.base import Count, Section, Whole

Several = Annotated[int, Field(ge=2, le=10**7)]


class Privacy(Section):
    """measure.privacy: membership inference."""

    samples: Several
    shadows: Whole
    bootstrap: Count


class Robustness(Section):
    """measure.robustness: corruptions, images of other data, attacks."""

    images: Several
    corruptions: bool
    ood: list[str]
    attacked: Whole
    eps: Annotated[float, Field(gt=0, le=1)]
    steps: Count


class Churn(Section):
    """measure.churn: which answers changed."""

    shown: Whole


class Attribution(Section):
    """measure.attribution: where networks look."""

    images: Several


class Energy(Section):
    """measure.energy: joules by the processor's counter."""

    repeats: Annotated[int, Field(ge=2, le=1000)]
    seconds: Annotated[float, Field(gt=0, le=3600)]


class Measure(Section):
    privacy: Privacy | None = None
    robustness: Robustness | None = None
    churn: Churn | None = None
    attribution: Attribution | None = None
    energy: Energy | None = None
