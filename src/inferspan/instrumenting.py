"""`instrument` and `uninstrument`: every model of a library is traced, or none is any more."""

from __future__ import annotations

import importlib.util
import json
import logging
import pkgutil
import sys
import threading
from collections.abc import Callable, Collection
from functools import partial
from importlib import import_module, metadata
from typing import Any, Final

from inferspan import integrations, patching, served, traced_methods
from inferspan.arguments import SourceName
from inferspan.containment import Contained, errors, say
from inferspan.declaration import Declaration, Names, options_known
from inferspan.integration import Integration
from inferspan.redaction import Redaction
from inferspan.served import Instrumented

GROUP: Final = "inferspan_integration"
"""Entry points of other distributions: a library's name → its `Integration`."""
OPTIONS_VARIABLE: Final = "INFERSPAN_INSTRUMENT"

_lock: Final = threading.RLock()
_wanted: Final[dict[str, Instrumented]] = {}
"""Library → how; what is not imported yet has no classes."""
_awaited: Final[set[str]] = set()
_PUT: Final = Contained("instrument a library")


def available() -> list[str]:
    """Libraries that there is an integration for, installed or not, sorted."""
    own = {found.name for found in pkgutil.iter_modules(integrations.__path__)}
    return sorted(own | {entry.name for entry in metadata.entry_points(group=GROUP)})


def load(library: str) -> Integration:
    """The integration of a library, without the library itself.

    Raises:
        ValueError: there is none.
    """
    for entry in metadata.entry_points(group=GROUP):
        if entry.name == library:
            found = entry.load()
            if not isinstance(found, Integration):
                raise ValueError(
                    f"instrument({library!r}): the entry point {entry.value!r} gives a "
                    f"{type(found).__name__}: must be an inferspan.integration.Integration"
                )
            return found
    if library not in available():
        raise ValueError(
            f"instrument({library!r}): there is no such integration; there are "
            f"{', '.join(available())}. For one object write inferspan.wrap(…)"
        )
    module = import_module(f"{integrations.__name__}.{library}")
    return module.INTEGRATION  # type: ignore[no-any-return]


@options_known
def instrument(
    library: str,
    /,
    *,
    model: str | Callable[[Any], object] | None = None,
    version: str | int | Callable[[Any], object] | None = None,
    task: str | None = None,
    positive: object = None,
    threshold: float | None = None,
    variant: str | None = None,
    prediction_id: SourceName | None = None,
    slices: Names | None = None,
    features: Names | None = None,
    capture: str | None = None,
    redact: Redaction | None = None,
    sample_ratio: float | None = None,
) -> None:
    """Trace every model of a library: each call that your code makes of one is a prediction.

    Task, classes and framework are the model's own. What the library calls itself is part of that
    prediction, or, while it fits and validates, none. Inside another prediction a model is a stage.
    A library that is not imported yet is patched when it is. To call it again declares anew.

    Args:
        library: what it is imported as: `sklearn`.
        model: the models' name, or a function of a model object; absent = the name of its class.
        version: of the models, or a function of a model object.
        task: this and the options below are as in `inferspan.wrap`; absent = as the model says.
        positive: the positive class of a binary task.
        threshold: the score from which the positive class is answered.
        variant: how the calls are routed.
        prediction_id: a column of the data frame that a model is given, or `index`, or a callable
            of the call's arguments.
        slices: up to 8 names by which quality is broken down.
        features: names of inputs that may be recorded.
        capture: `shapes`, `values` or `none`.
        redact: patterns of names, a mapping of them, or a hook.
        sample_ratio: share of calls that get a full span.

    Raises:
        ValueError: there is no integration of this name, an option breaks its rule, or the
            library's version is none that is supported.
        ModuleNotFoundError: the library is not installed.
        TypeError: an unknown option.
    """
    declaration = Declaration.of(
        model=None if callable(model) else model,
        version=None if callable(version) else version,
        task=task,
        positive=positive,
        threshold=threshold,
        variant=variant,
        prediction_id=prediction_id,
        slices=slices,
        features=features,
        capture=capture,
        redact=redact,
        sample_ratio=sample_ratio,
    )
    integration = load(library)
    _check_installed(integration)
    name, asked = (option if callable(option) else None for option in (model, version))
    with _lock:
        _wanted[library] = Instrumented(integration, declaration, name, asked, ())
    for module in integration.modules or (library,):
        _put_in_place(library) if module in sys.modules else _await(library, module)


def instrument_installed(without: Collection[str] = (), told: str = "") -> None:
    """Instrument every library that is installed, as far as its version is supported.

    Where that goes wrong it is said in the log, and harms neither the others nor the application.

    Args:
        without: names of libraries to leave alone.
        told: `INFERSPAN_INSTRUMENT`: a JSON object of libraries and the options of each; such a
            library is instrumented without its options where one of them breaks its rule.
    """
    options_of = _options_told(told)
    for library in available():
        options = options_of.pop(library, {})
        if library in without or importlib.util.find_spec(library) is None:
            continue
        try:
            try:
                instrument(library, **options)
            except (TypeError, ValueError) as error:
                if not options:
                    raise
                said = str(error).rstrip(".")
                say(
                    logging.ERROR, "inferspan: %s: %s. It counts as absent.", OPTIONS_VARIABLE, said
                )
                instrument(library)
        except ValueError as error:
            say(logging.WARNING, "inferspan: %s", error)
        except Exception as error:
            errors.contain(f"instrument {library}", error)
    if options_of:
        say(
            logging.ERROR,
            "inferspan: %s names %s: there is no such integration; there are %s.",
            OPTIONS_VARIABLE,
            ", ".join(sorted(options_of)),
            ", ".join(available()),
        )


def _options_told(told: str) -> dict[str, dict[str, Any]]:
    try:
        options = json.loads(told or "{}")
        if isinstance(options, dict) and all(isinstance(of, dict) for of in options.values()):
            return options
    except ValueError:
        pass
    say(
        logging.ERROR,
        '%s is %.80r: must be a JSON object such as {"sklearn": {"prediction_id": "index"}}. '
        "It counts as absent.",
        f"inferspan: {OPTIONS_VARIABLE}",
        told,
    )
    return {}


def uninstrument(library: str | None = None, /) -> None:
    """Trace the models of a library no more; its classes are what they were.

    Args:
        library: as given to `instrument`; absent = all of them.

    Raises:
        ValueError: there is no integration of this name. One that is not in force is fine.
    """
    if library is not None and library not in _wanted:
        load(library)
    with _lock:
        for name in [library] if library is not None else list(_wanted):
            gone = _wanted.pop(name, None)
            served.state.in_force = {
                other: how for other, how in served.state.in_force.items() if other != name
            }
            patching.restore(name)
            if gone is not None and gone.integration.gathering is not None:
                from inferspan import gathering

                gathering.restore(name)
        served.changed()


def _check_installed(integration: Integration) -> None:
    library, supported = integration.library, integration.supported
    if library not in sys.modules and importlib.util.find_spec(library) is None:
        raise ModuleNotFoundError(
            f"instrument({library!r}): {supported.distribution} is not installed; "
            f"pip install '{supported}'",
            name=library,
        )
    try:
        version = metadata.version(supported.distribution)
    except metadata.PackageNotFoundError:
        return  # a copy without its metadata; nobody can say
    if not supported.takes(version):
        raise ValueError(
            f"instrument({library!r}): {supported.distribution} {version} is installed, must be "
            f"{supported}; install such a version, or trace one object by inferspan.wrap(…)"
        )


def _await(library: str, module: str) -> None:
    import wrapt  # loads asyncio

    with _lock:
        if module in _awaited:
            return
        _awaited.add(module)

    def imported(_: object) -> None:
        with _PUT:
            with _lock:
                _awaited.discard(module)
            _put_in_place(library)

    wrapt.register_post_import_hook(imported, module)


def _put_in_place(library: str) -> None:
    """Patch what there is of a library that is imported, and what there will be."""
    wanted = _wanted.get(library)
    if wanted is None:
        return
    # Outside of the lock, which who imports may be waiting for.
    classes = wanted.integration.classes()
    with _lock:
        if _wanted.get(library) is not wanted:
            return
        made = Instrumented(
            wanted.integration, wanted.declaration, wanted.name, wanted.version, classes
        )
        served.state.in_force = {**served.state.in_force, library: made}
        served.changed()
        traced = _maker(library, wanted.integration)
        methods = {name: partial(traced, name) for name in wanted.integration.methods}
        quiet = dict.fromkeys(wanted.integration.quiet, traced_methods.quiet)
        patching.cover(library, classes, {**quiet, **methods})


def _maker(library: str, integration: Integration) -> Callable[[str, object], Any]:
    """What makes what stands in the place of a library's methods."""
    if integration.composed is not None:
        return traced_methods.composed(integration.composed)
    if integration.gathering is not None:
        from inferspan import gathering  # loads batches, which most processes have none of

        gathering.cover(library, integration.gathering)
        return gathering.answering(integration.gathering)
    return traced_methods.traced
