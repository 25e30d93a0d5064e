"""Calls whose arguments say what they are: which model they ask, or that they ask none yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from inferspan.arguments import Arguments, Keywords
from inferspan.containment import Contained, errors
from inferspan.integration import Asked

if TYPE_CHECKING:
    from inferspan.calls import Wrapper

MODELS_MAX: Final = 256
"""Models of one client whose plans are kept; those of further ones are made at every call."""
_DECIDE: Final = "find out which model is asked"
_LOOK: Final = Contained("find out whether a call answers later")


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


def unless_postponed(
    wrapper: Wrapper, postponed: Callable[[Arguments, Keywords], bool], name: str
) -> Wrapper:
    """Make what runs calls as `wrapper` does, but for those whose answer only runs as it is read.

    Args:
        wrapper: what runs the calls.
        postponed: tells such a call by its arguments.
        name: the model's.
    """

    def left_or_run(
        wrapped: Callable[..., Any], instance: object, args: Arguments, kwargs: dict[str, Any]
    ) -> Any:
        later = False
        with _LOOK:
            later = postponed(args, kwargs)
        if not later:
            return wrapper(wrapped, instance, args, kwargs)
        errors.warn_once(
            f"postponed {name}",
            f"inferspan: {name} was given a generator or a data set, and predicts as its answer is "
            "read: such calls leave no predictions; give it lists of rows",
        )
        return wrapped(*args, **kwargs)

    return left_or_run
