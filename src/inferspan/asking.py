"""Calls of a client of remote models: which model is asked is an argument of each call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from inferspan.arguments import Arguments, Keywords
from inferspan.containment import errors
from inferspan.integration import Asked

if TYPE_CHECKING:
    from inferspan.calls import Wrapper

MODELS_MAX: Final = 256
"""Models of one client whose plans are kept; those of further ones are made at every call."""
_DECIDE: Final = "find out which model is asked"


def asking(
    asked: Callable[[Arguments, Keywords], Asked], make: Callable[[Asked], Wrapper | None]
) -> Wrapper:
    """Make what runs calls of which each is a prediction of the model that it asks.

    Args:
        asked: the call's arguments → the model.
        make: what runs calls that ask this one; None: as they would without us.
    """
    made: dict[Asked, Wrapper | None] = {}

    def wrapper(
        wrapped: Callable[..., Any], instance: object, args: Arguments, kwargs: dict[str, Any]
    ) -> Any:
        found: Wrapper | None = None
        try:
            model = asked(args, kwargs)
            if model in made:
                found = made[model]
            else:
                found = make(model)
                if len(made) < MODELS_MAX:
                    made[model] = found
        except BaseException as error:
            errors.contain(_DECIDE, error)
        if found is None:
            return wrapped(*args, **kwargs)
        return found(wrapped, instance, args, kwargs)

    return wrapper
