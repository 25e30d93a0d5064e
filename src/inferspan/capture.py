"""What of a call is captured: the declared values before it runs, content by policy, rows after.

Pure functions of a plan's parts; what cannot be recorded is told to `drop`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain, islice
from typing import Any, Final, Protocol

from inferspan import foreign, semconv
from inferspan.arguments import ABSENT, Arguments, Column, KeywordOrColumn, Keywords, Source
from inferspan.attributes import (
    ITEMS_MAX,
    NAME_LENGTH_MAX,
    Attributes,
    extent_of,
    row_count,
    shape_of,
    text,
    type_name,
)
from inferspan.containment import from_outside
from inferspan.features import (
    FEATURE_VALUES_MAX,
    FEATURES_MAX,
    ColumnTooLong,
    as_column,
    as_single,
)
from inferspan.identity import new_record_id
from inferspan.json_values import json_object
from inferspan.output_columns import ROWS_MAX, Misfit
from inferspan.outputs import Output
from inferspan.plain_json import plain_object
from inferspan.redaction import Redactor
from inferspan.tensors import tensor

Call = tuple[Arguments, Keywords, int]
"""Positional arguments, keywords, and 1 where binding took the first parameter."""
Members = list[tuple[str, object]]

_OPENINFERENCE_KIND: Final = "CHAIN"
SLICE_LENGTH_MAX: Final = 128
"""Characters of a slice's value."""
_ARGUMENTS_MAX: Final = 16
"""Arguments that are looked at for the input's shape."""
_MEMBERS_MAX: Final = 256
"""Members of an input or output that may find room; no others are looked at."""
_ROWLESS: Final = frozenset((list, dict, str, float, int))
"""Types of most inputs without rows."""
INPUT_SHOWN: Final = {
    semconv.INPUT_MIME_TYPE: semconv.MIME_JSON,
    semconv.OPENINFERENCE_SPAN_KIND: _OPENINFERENCE_KIND,
}
"""What goes with `input.value`."""
OUTPUT_SHOWN: Final = {
    semconv.OUTPUT_MIME_TYPE: semconv.MIME_JSON,
    semconv.OPENINFERENCE_SPAN_KIND: _OPENINFERENCE_KIND,
}
"""What goes with `output.value`."""
_INPUT_TENSOR: Final = "inferspan.input."
_OUTPUT_TENSOR: Final = "inferspan.output."


class Drop(Protocol):
    """Is told what is left out."""

    def __call__(self, what: str, reason: str, beside: str = "") -> None:
        """Say it on the span and once in the log.

        Args:
            what: is left out.
            reason: quotes nothing of the user's data.
            beside: goes on in the log only.
        """


def said_by(option: str | None, error: Exception) -> str:
    """Why user code that an option named gave nothing, or an integration (None) that read an
    answer; messages of others may quote inputs.
    """
    if isinstance(error, (Misfit, ColumnTooLong)):
        return str(error)
    if option is None:
        return f"reading the answer raised {type_name(type(error))}"
    return f"{option} raised {type_name(type(error))}; make it accept what the call is given"


def given_ids(source: Source, call: Call, drop: Drop) -> tuple[str | None, list[Any] | None]:
    """Read the caller's prediction id.

    Returns:
        The id as text, and where the source is a column of several, their list instead.
    """
    try:
        given = source.read(*call)
        one = type(given) is str or given is ABSENT
        column = None if one else as_column(given, ROWS_MAX)
        if column is not None and len(column) != 1:
            return None, column
        given = given if column is None else column[0]
        written = None if given is ABSENT else semconv.prediction_id_text(given)
    except Exception as error:
        if from_outside(error):
            raise
        drop("prediction_id", said_by("prediction_id=", error))
        return None, None
    if written is None:
        drop(
            "prediction_id",
            f"{source.absence(*call)}: no usable id, so one was made up; give a string, int or "
            "UUID",
            source.beside(*call),
        )
    return written, None


def read_declared(
    option: str,
    sources: tuple[tuple[str, Source], ...],
    more: Source | None,
    redactor: Redactor | None,
    call: Call,
    drop: Drop,
) -> dict[str, object]:
    """Read the declared slices or features; columns become lists now, for the call may change them.

    Args:
        option: `slices` or `features`: whose limits hold, and what messages name.
        sources: a name, and where its value stands; they win over `more`.
        more: gives a mapping of further ones; what goes beyond the option's limit is not read.
        redactor: judges every value, by its own name and by those it has where it stands.
        call: what the function is called with.
        drop: is told what is missing or beyond a limit, and what raised.

    Returns:
        Name → value, a list where it is a column, without what the call does not hold; empty where
        reading raised, or features hold more than `FEATURE_VALUES_MAX` values.
    """
    found: dict[str, object] = {}
    names_within: dict[str, tuple[str, ...]] = {}
    try:
        if more is not None:
            computed = more.read(*call)
            if not isinstance(computed, Mapping):
                raise Misfit("the callable returned no mapping; return {name: value}")
            names_max = FEATURES_MAX if option == "features" else semconv.SLICE_KEYS_MAX
            for name, value in islice(computed.items(), names_max):
                found[text(str(name), NAME_LENGTH_MAX)] = value
            if (count := len(computed)) > names_max:
                drop(option, f"{count} names, at most {names_max} are recorded; name fewer")
        for name, source in sources:
            if (value := source.read(*call)) is not ABSENT:
                found[name] = value
                if redactor is not None:
                    names_within[name] = _names_in(source, call)
            else:
                drop(
                    f"{option.removesuffix('s')} {name}",
                    source.absence(*call),
                    source.beside(*call),
                )
        values = 0
        for name, value in found.items():
            if redactor is not None:
                value = redactor.judge((*names_within.get(name, ()), name), value)
            column = as_column(value, ROWS_MAX)
            found[name] = as_single(value) if column is None else column
            values += 1 if column is None else len(column)
            if values > FEATURE_VALUES_MAX and option == "features":
                raise ColumnTooLong(
                    f"more than {FEATURE_VALUES_MAX:,} values of a call; name fewer, or call in "
                    "smaller batches"
                )
    except Exception as error:
        if from_outside(error):
            raise
        drop(option, said_by(f"{option}=", error))
        return {}
    return found


def _names_in(source: Source, call: Call) -> tuple[str, ...]:
    """What a declared value is called where it stands, by the aliases of its field, too."""
    column = source.column if isinstance(source, KeywordOrColumn) else source
    if not isinstance(column, Column):
        return source.names
    owner = column.argument.read(*call)
    each = owner if type(owner) is list or type(owner) is tuple else (owner,)
    kinds = dict.fromkeys(map(type, each))
    aliases = [foreign.field_aliases(kind).get(column.name, ()) for kind in kinds]
    return (*source.names, *chain.from_iterable(aliases))


def input_rows(call: Call) -> int | None:
    """Rows of the input, where they are evident, without describing it."""
    arguments = call[0]
    # The usual call is read here: a frame costs as much as an attribute.
    array = arguments[0] if len(arguments) == 1 and not call[1] else _input_of(call)
    return None if type(array) in _ROWLESS or array is ABSENT else row_count(array)


def describe_input(call: Call, attributes: Attributes) -> int | None:
    """Say on the span how large the input is.

    Returns:
        Its rows, where they are evident.
    """
    arguments = call[0]
    # The usual call is read here: a frame costs as much as an attribute.
    array = arguments[0] if len(arguments) == 1 and not call[1] else _input_of(call)
    if type(array) is list:
        attributes[semconv.INPUT_SHAPE] = str(len(array))
        attributes[semconv.INPUT_DTYPE] = "list"
        return None
    if array is ABSENT:
        return None
    if (extent := extent_of(array)) is not None:
        attributes[semconv.INPUT_SHAPE], attributes[semconv.INPUT_DTYPE] = extent
    return row_count(array)


def _input_of(call: Call) -> object:
    """The argument that is the input: the first that has a shape, or the only one."""
    arguments, keywords, _ = call
    values = (*arguments, *keywords.values())[:_ARGUMENTS_MAX]
    array = next((value for value in values if shape_of(value)), ABSENT)
    return values[0] if array is ABSENT and len(values) == 1 else array


def show_input(
    call: Call,
    names: tuple[str, ...],
    redactor: Redactor | None,
    attributes: Attributes,
    dropped: list[str],
) -> None:
    """Write the input for people: `input.value`, and one large array packed."""
    arguments, keywords, bound = call
    names = names[bound:]
    if redactor is None and not keywords and len(arguments) <= min(len(names), ITEMS_MAX):
        plain = plain_object(zip(names, arguments, strict=False), semconv.JSON_BYTES_MAX)
        if plain is not None:  # nothing in it is large, so nothing is packed
            attributes[semconv.INPUT_VALUE] = plain
            attributes.update(INPUT_SHOWN)
            return
    # More arguments than names: the rest went into *args.
    members: Members = [
        (names[i] if i < len(names) else f"args[{i - len(names)}]", value)
        for i, value in enumerate(arguments[:_MEMBERS_MAX])
    ]
    members.extend(islice(keywords.items(), _MEMBERS_MAX - len(members)))
    members = _redacted(members, redactor)
    beyond = len(arguments) + len(keywords) - len(members)
    add_json("input", members, redactor, attributes, dropped, beyond)
    for name, value in members:
        if packed := tensor(_INPUT_TENSOR, name, value, semconv.CONTENT_BYTES_MAX // 2):
            attributes.update(packed)
            break


def show_output(
    value: object, redactor: Redactor | None, attributes: Attributes, dropped: list[str]
) -> None:
    """Write the output for people: `output.value`, and a large array packed."""
    if type(value) is dict and redactor is None and len(value) <= ITEMS_MAX:
        plain = plain_object(value.items(), semconv.JSON_BYTES_MAX)
        if plain is not None:
            attributes[semconv.OUTPUT_VALUE_JSON] = plain
            attributes.update(OUTPUT_SHOWN)
            return
    members: Members = [("output", value)]
    if type(value) is dict:
        few = islice(value.items(), _MEMBERS_MAX)
        members = [(name, member) for name, member in few if type(name) is str]
    shown = _redacted(members, redactor)
    add_json("output", shown, redactor, attributes, dropped)
    if type(value) is not dict:
        attributes.update(tensor(_OUTPUT_TENSOR, *shown[0], semconv.CONTENT_BYTES_MAX // 4))


def add_json(
    what: str,
    members: Members,
    redactor: Redactor | None,
    attributes: Attributes,
    dropped: list[str],
    beyond: int = 0,
) -> None:
    """Write members as one JSON object into `input.value` or `output.value`.

    The redactor has seen the members themselves, and sees here what they hold. That some find no
    room, and that there were more `beyond` these, is said on the span, in `dropped`; it is no fault
    to log.
    """
    written, left_out = json_object(
        members, semconv.JSON_BYTES_MAX, None if redactor is None else redactor.judge
    )
    if what == "input":
        attributes[semconv.INPUT_VALUE] = written
        attributes.update(INPUT_SHOWN)
    else:
        attributes[semconv.OUTPUT_VALUE_JSON] = written
        attributes.update(OUTPUT_SHOWN)
    if left_out + beyond:
        said = f"{left_out + beyond} of {len(members) + beyond} members"
        dropped.append(f"{what}.value:{said} beyond {semconv.JSON_BYTES_MAX} bytes")


def slice_texts(value: object, rows: int | None) -> str | list[str] | None:
    """A slice's value as text, or one per row of a batch; empty where it is missing: then a
    prediction belongs to no such slice. None where it is neither.
    """
    if isinstance(value, list):
        if len(value) != (1 if rows is None else rows):
            return None
        found = [semconv.class_text(item) for item in value]
        if found.count(None) == len(found) and not all(map(foreign.is_missing, value)):
            return None
        words = [text(word or "", SLICE_LENGTH_MAX) for word in found]
        return words[0] if rows is None or len(set(words)) == 1 else words
    written = semconv.class_text(value)
    if written is None:
        return "" if foreign.is_missing(value) else None
    return text(written, SLICE_LENGTH_MAX)


def rows_of(ids: list[Any] | None, output: Output | None) -> int | None:
    """Rows of a batch; one that failed, or was not understood, has as many as it has ids.

    Returns:
        None for a single prediction.
    """
    if ids is not None and (output is None or not output.recognised):
        return len(ids)
    return None if output is None else output.rows


def row_ids(
    given: list[Any], rows: int, key: bytes | None, drop: Callable[[str, str], None]
) -> list[str] | None:
    """One id per row of a batch; None where the caller gave another number of them."""
    if len(given) != rows:
        drop("prediction_id", f"{len(given)} ids for {rows} outputs; give as many")
        return None
    ids = [semconv.prediction_id_text(value, key) for value in given]
    if None in ids:
        drop("prediction_id", "rows without a usable id got a new one; give every row one")
    return [written or new_record_id() for written in ids]


def _redacted(members: Members, redactor: Redactor | None) -> Members:
    if redactor is None:
        return members
    return [(name, redactor.apply(name, value)) for name, value in members]
