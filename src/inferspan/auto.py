"""What `opentelemetry-instrument` calls at the start, in place of a line of configuration."""

from __future__ import annotations

import os
from typing import Final

_DISABLED_VARIABLE: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_EVERYTHING: Final = "*"


def start() -> None:
    """Configure inferspan by the environment; the entry point `opentelemetry_post_instrument`.

    It runs after OpenTelemetry's own configuration and every instrumentation, so that predictions
    go through the provider that is there by now, and a wrong setting of ours harms nobody else.
    `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=inferspan` leaves it out.

    Raises:
        ValueError: an `INFERSPAN_*` variable breaks its rule; OpenTelemetry logs it.
    """
    disabled = {name.strip() for name in os.environ.get(_DISABLED_VARIABLE, "").split(",")}
    if disabled & {"inferspan", _EVERYTHING}:
        return
    # Here, because who leaves it out need not wait for it.
    from inferspan.providers import configure

    configure()
