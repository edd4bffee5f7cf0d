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


class Measure(Section):
    privacy: Privacy | None = None
