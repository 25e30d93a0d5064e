"""What `opentelemetry-instrument` calls at the start, in place of a line of configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from inferspan.settings import Settings

_DISABLED_VARIABLE: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_EVERYTHING: Final = "*"
_STARLETTE: Final = frozenset(("starlette", "fastapi"))
_READ: Final = ("INFERSPAN_", "OTEL_")


def start() -> None:
    """Configure inferspan by the environment; the entry point `opentelemetry_post_instrument`.

    It runs after OpenTelemetry's own configuration and every instrumentation, so that predictions
    go through the provider that is there by now. A variable of ours that breaks its rule is an
    error in the log and counts as absent: it harms neither the application nor anybody else.
    Every model library that is installed is then instrumented, once it is imported, and
    applications of Starlette and FastAPI go on with the prediction ids of their callers.
    `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS` leaves out what it names: `sklearn` and the like, or
    `inferspan` with all of them; `INFERSPAN_INSTRUMENT` gives options.
    """
    disabled = {name.strip() for name in os.environ.get(_DISABLED_VARIABLE, "").split(",")}
    if disabled & {"inferspan", _EVERYTHING}:
        return
    # Here, because who leaves it out need not wait for it.
    from inferspan import settings
    from inferspan.providers import configure

    try:
        configure()
    except ValueError:
        # The application, which never asked for us, would meet the error in its first call.
        settings.install(_settings_of_what_is_right(os.environ))
    from inferspan.instrumenting import OPTIONS_VARIABLE, instrument_installed

    instrument_installed(without=disabled, told=os.environ.get(OPTIONS_VARIABLE, ""))
    if not disabled & _STARLETTE:
        from inferspan.starlette_apps import cover_when_imported

        cover_when_imported()


def _settings_of_what_is_right(environ: Mapping[str, str]) -> Settings:
    """Settings from the variables that keep their rules; each of the others is said."""
    import logging

    from inferspan.containment import say
    from inferspan.settings import Settings

    kept: dict[str, str] = {}
    told = Settings.read(kept, configured=True)
    for name, value in sorted(environ.items()):
        if not name.startswith(_READ):
            continue
        try:
            told = Settings.read(kept | {name: value}, configured=True)
        except ValueError as error:
            say(logging.ERROR, "inferspan: %s. It counts as absent.", str(error).rstrip("."))
        else:
            kept[name] = value
    return told
