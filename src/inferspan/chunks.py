"""Calls of more rows than a span holds: one call of the model, and a prediction for each chunk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from numpy import ndarray

from inferspan.arguments import Arguments, Keywords
from inferspan.attributes import type_name
from inferspan.calls import Start, Wrapper
from inferspan.containment import Contained, errors
from inferspan.output_columns import ROWS_MAX
from inferspan.spans import SpanScope

_BEGIN: Final = "begin the spans of a large batch"
_END: Final = Contained("end the spans of a large batch")


@dataclass(frozen=True, slots=True)
class _Uncut:
    """In the place of rows of a table that only its library can cut."""

    shape: tuple[int, ...]
    dtype: str


def in_chunks(traced: Wrapper, start: Start) -> Wrapper:
    """Have large batches recorded in chunks of `ROWS_MAX` rows.

    All chunks begin and end with the call, and have its caller as their parent; what runs in it is
    below the first of them. Ids, slices and features of a chunk are those of its rows.

    Args:
        traced: runs a call that is no large batch.
        start: begins the span of a call.
    """

    def call(
        wrapped: Callable[..., Any], instance: object, args: Arguments, kwargs: dict[str, Any]
    ) -> Any:
        try:
            rows = _rows(args, kwargs)
        except BaseException as error:  # of a foreign object
            errors.contain(_BEGIN, error)
            rows = 0
        if rows <= ROWS_MAX:
            return traced(wrapped, instance, args, kwargs)
        scopes: list[SpanScope] = []
        try:
            for at in range(0, rows, ROWS_MAX):
                scopes.append(start(*_chunk_of_call(args, kwargs, rows, at), 0))
        except BaseException as error:
            for scope in scopes:
                scope.end()
            scopes = []
            errors.contain(_BEGIN, error)
        if not scopes:
            return traced(wrapped, instance, args, kwargs)
        return _run(scopes, rows, wrapped, args, kwargs)

    return call


def _run(
    scopes: list[SpanScope],
    rows: int,
    wrapped: Callable[..., Any],
    args: Arguments,
    kwargs: Keywords,
) -> Any:
    first = scopes[0]
    try:
        first.attach()
        returned = wrapped(*args, **kwargs)
        first.detach()
    except BaseException as error:
        first.detach()
        for scope in scopes:
            scope.fail(error)
        raise
    with _END:
        for at, scope in enumerate(scopes):
            scope.succeed(_chunk(returned, rows, at * ROWS_MAX))
    return returned


def _rows(args: Arguments, kwargs: Keywords) -> int:
    """Rows of the first argument, by whatever name; 0 where they are not evident."""
    given = args[0] if args else next(iter(kwargs.values()), None)
    if type(given) is ndarray:
        return given.shape[0] if given.ndim else 0
    if type(given) is list:
        return len(given)
    shape = getattr(given, "shape", None)
    return shape[0] if type(shape) is tuple and shape and type(shape[0]) is int else 0


def _chunk_of_call(
    args: Arguments, kwargs: Keywords, rows: int, at: int
) -> tuple[Arguments, Keywords]:
    return (
        tuple(_chunk(value, rows, at) for value in args),
        {name: _chunk(value, rows, at) for name, value in kwargs.items()},
    )


def _chunk(value: Any, rows: int, at: int) -> Any:
    """The rows of a chunk; what has not as many rows as the batch stays as it is."""
    part = slice(at, at + ROWS_MAX)
    if type(value) is list:
        if len(value) == rows:
            return value[part]
        return [_chunk(one, rows, at) for one in value] if len(value) < ROWS_MAX else value
    shape = getattr(value, "shape", None)
    if type(shape) is not tuple or not shape or shape[0] != rows:
        return value
    if not hasattr(type(value), "__getitem__"):
        left = min(ROWS_MAX, rows - at)
        return _Uncut((left, *shape[1:]), type_name(type(value)))
    return value.iloc[part] if hasattr(value, "iloc") else value[part]
