"""What a piece of code did, in a form that can be compared with what other code did."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable
from typing import Any


def outcome_of(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[str, Any]:
    """What a call returned or raised."""
    try:
        return "returned", call(*args, **kwargs)
    except StopIteration as stop:
        return "stopped", stop.value
    except BaseException as error:
        return type(error).__name__, str(error)


def caught_from(call: Callable[..., Any], *args: Any, **kwargs: Any) -> BaseException:
    """The exception itself that a call raised."""
    try:
        call(*args, **kwargs)
    except BaseException as error:
        return error
    raise AssertionError("did not raise")


def complaints_of(call: Callable[[], object]) -> list[str]:
    """Warnings, and errors that nobody could be told of, once all garbage is collected."""
    found: list[str] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda told: found.append(str(told.exc_value))
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            call()
            gc.collect()
    finally:
        sys.unraisablehook = hook
    return [*(str(warning.message) for warning in warned), *found]
