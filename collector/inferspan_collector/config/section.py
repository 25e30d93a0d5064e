"""What every section of the configuration is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the configuration: unknown keys are mistakes, values cannot change later."""

    model_config = ConfigDict(frozen=True, extra="forbid")
