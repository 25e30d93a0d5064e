"""What a worker does, importable by the processes that tests start."""

from __future__ import annotations

import inferspan
from inferspan.testing import capture_spans


def step() -> str | None:
    """Work in a stage; answers the id of the prediction it is part of."""
    with inferspan.stage("work"):
        reference = inferspan.current_prediction()
        return None if reference is None else reference.id


def configured(url: str) -> None:
    """What the initializer of a pool's processes does."""
    inferspan.configure(service_name="worker", endpoint=url)


def step_elsewhere() -> tuple[str | None, str, int | None]:
    """The same in another process, which catches its own spans: id, span's name, parent's id."""
    with capture_spans() as spans:
        found = step()
        (span,) = spans.stages
    return found, span.name, None if span.parent is None else span.parent.span_id
