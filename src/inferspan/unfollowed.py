"""What we were told and a TracerProvider that is there already does not follow; it is said once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from inferspan.containment import errors
from inferspan.settings import KEEP_VARIABLE, SAMPLE_RATIO_VARIABLE, Settings

_WITHOUT_EFFECT: Final = ("sample_ratio", "keep")
"""Arguments that say something about spans only; the others also do about labels and records."""
_REMEDIES: Final = {
    SAMPLE_RATIO_VARIABLE: "for a ratio, set OTEL_TRACES_SAMPLER=parentbased_traceidratio and "
    "OTEL_TRACES_SAMPLER_ARG",
    KEEP_VARIABLE: "spans are kept only under a provider that configure() builds with a ratio",
}


def say(given: Mapping[str, object], environ: Mapping[str, str], followed: Settings | None) -> None:
    """Warn of what the provider that is there does not follow.

    Args:
        given: arguments of `configure()` by name; None = was not given.
        environ: the environment's variables.
        followed: the settings that it was built from; None = it is not ours.
    """
    if followed is not None:
        # What is kept is looked up at the end of each call, so that may be said anew.
        _say_arguments({**given, "keep": None}, followed)
        return
    _say_arguments(given, Settings())
    _say_variables(environ)


def _say_arguments(given: Mapping[str, object], followed: Settings) -> None:
    """Warn of arguments of `configure()` that spans do not follow."""
    ignored = [n for n, value in given.items() if value not in (None, getattr(followed, n))]
    if not ignored:
        return
    effects = []
    if elsewhere := [name for name in ignored if name not in _WITHOUT_EFFECT]:
        effects.append(f"{', '.join(elsewhere)}: for labels and slim records only")
    if useless := [name for name in ignored if name in _WITHOUT_EFFECT]:
        effects.append(f"{', '.join(useless)}: without effect")
    errors.warn_once(
        "configure ignored",
        f"inferspan: configure({', '.join(f'{name}=…' for name in ignored)}): a TracerProvider "
        f"is installed already and stays as it is ({'; '.join(effects)}). Spans of predictions go "
        "where that provider sends them, under its service and environment, as its sampler "
        "decides. Call configure() once, at the start.",
    )


def _say_variables(environ: Mapping[str, str]) -> None:
    """Warn of environment variables that have no effect under a provider that is not ours."""
    for variable, remedy in _REMEDIES.items():
        if environ.get(variable, "").strip():
            errors.warn_once(
                f"{variable} ignored",
                f"inferspan: {variable} has no effect: a TracerProvider is installed already, and "
                f"its sampler decides; {remedy}.",
            )
