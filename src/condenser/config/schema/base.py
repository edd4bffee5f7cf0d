"""What every section is made of: known keys, and kinds of numbers."""

from __future__ import annotations

import os
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

MOST = 10**9  # of anything that is counted
YEAR = 366 * 24 * 3600  # in seconds
Whole = Annotated[int, Field(ge=0, le=MOST)]
Count = Annotated[int, Field(ge=1, le=MOST)]
Bytes = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Side = Annotated[int, Field(ge=1, le=8192)]
Threads = Annotated[int, Field(ge=1, le=4 * (os.cpu_count() or 1))]
Seconds = Annotated[float, Field(ge=0, le=YEAR, allow_inf_nan=False)]
Bits = Annotated[int, Field(ge=1, le=8)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


def _a_name(word: str) -> str:
    """A word that is a folder's name wherever it is used."""
    odd = word in ("", " ") or word[:1] == "." or ".." in word or len(word.encode()) > LONGEST
    if odd or not word.isprintable() or set(word) & set("/\\"):
        allowed = f"a name: at most {LONGEST} bytes, no / or \\, no leading dot, no .."
        raise PydanticCustomError("a_name", "{allowed}", {"allowed": allowed})
    return word


def _of_ours(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """What a setting means to this package's classes binds no other's setting of that name."""
    ours = str(info.data.get("target", "condenser.")).startswith("condenser.")
    return check(value) if ours else value


LONGEST = 200
Name = Annotated[str, AfterValidator(_a_name)]
Ours = WrapValidator(_of_ours)
TARGET = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$"
Target = Annotated[str, Field(alias="_target_", pattern=TARGET)]


class Section(BaseModel):
    """A mapping whose keys are all known."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Open(Section):
    """A mapping that names a class by ``_target_`` and holds that class's own settings."""

    model_config = ConfigDict(extra="allow")
    target: Target
