"""Calls of more rows than a span holds: one call of the model, and a prediction for each chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from inferspan.arguments import Arguments, Keywords, first_given
from inferspan.attributes import type_name
from inferspan.calls import Start
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


def in_chunks(start: Start) -> Start:
    """Have large batches recorded in chunks of `ROWS_MAX` rows.

    All chunks begin and end with the call, and have its caller as their parent; what runs in it is
    below the first of them. Ids, slices and features of a chunk are those of its rows.

    Args:
        start: begins the span of a call.
    """

    def start_in_chunks(arguments: Arguments, keywords: Keywords, bound: int) -> SpanScope:
        try:
            rows = _rows(arguments, keywords)
        except BaseException as error:  # of a foreign object
            errors.contain(_BEGIN, error)
            rows = 0
        if rows > ROWS_MAX:
            begun: list[SpanScope] = []
            try:
                for at in range(0, rows, ROWS_MAX):
                    begun.append(start(*_chunk_of_call(arguments, keywords, rows, at), bound))
                return _Chunks(begun, rows)
            except BaseException as error:
                for scope in begun:
                    scope.end()
                errors.contain(_BEGIN, error)
        return start(arguments, keywords, bound)

    return start_in_chunks


class _Chunks(SpanScope):
    """The spans of one call; attached is the first."""

    def __init__(self, scopes: list[SpanScope], rows: int) -> None:
        self._scopes = scopes
        self._rows = rows
        self.attributes = {}
        self.context, self._parent = scopes[0].context, scopes[0]._parent

    def succeed(self, value: object) -> None:
        """End each span by its rows of the answer."""
        self.ended = True
        with _END:
            for at, scope in enumerate(self._scopes):
                scope.succeed(_chunk(value, self._rows, at * ROWS_MAX))

    def fail(self, error: BaseException) -> None:
        """End all spans by the error."""
        self.ended = True
        for scope in self._scopes:
            scope.fail(error)

    def end(self) -> None:
        """End all spans of a call that neither returned nor raised."""
        self.ended = True
        for scope in self._scopes:
            scope.end()


def _rows(args: Arguments, kwargs: Keywords) -> int:
    """Rows of the first argument, by whatever name; 0 where they are not evident."""
    given = first_given(args, kwargs)
    if type(given) is list:
        return len(given)
    shape = getattr(given, "shape", None)
    return shape[0] if isinstance(shape, tuple) and shape and type(shape[0]) is int else 0


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
    if not isinstance(shape, tuple) or not shape or shape[0] != rows:
        return value
    if not hasattr(type(value), "__getitem__"):
        left = min(ROWS_MAX, rows - at)
        return _Uncut((left, *shape[1:]), type_name(type(value)))
    return value.iloc[part] if hasattr(value, "iloc") else value[part]
