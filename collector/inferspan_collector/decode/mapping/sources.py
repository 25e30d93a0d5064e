"""Where a field's value comes from: the sources of the configuration as functions of a span."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from inferspan import semconv
from inferspan_collector.config.json_path import follow, parse_json_path
from inferspan_collector.config.mappings import HOLE, KINDS, Source
from inferspan_collector.decode.attributes import RefusedRecord, Value, shown
from inferspan_collector.decode.mapping.patterns import Patterns
from inferspan_collector.decode.mapping.views import SpanView

TEMPLATE_CHARACTERS_MAX: Final = 1024
"""A longer text fits no template."""

Read = Callable[[SpanView], Value]
_PART: Final = "[^/?]"
_SCALARS: Final = (str, bool, int, float)


def compiled(sources: Sequence[Source]) -> Read:
    """Read the first source that has a value; an empty text or list is none.

    What it returns is a text, a number, a list of these, or None. It raises `RefusedRecord` where
    a source cannot be read and no later one has a value.
    """
    reads = [_read(source) for source in sources]

    def first(view: SpanView) -> Value:
        unreadable: RefusedRecord | None = None
        for read in reads:
            try:
                value = read(view)
            except RefusedRecord as refused:
                unreadable = unreadable or refused
                continue
            if value is not None and value != "" and value != []:
                return value
        if unreadable is not None:
            raise unreadable
        return None

    return first


def places(sources: Sequence[Source]) -> str:
    """What the sources are, for messages: `attribute a or resource service.name`."""
    return " or ".join(_place(source) for source in sources)


def _place(source: Source) -> str:
    for kind in ("attribute", "resource", "item", "span"):
        name = getattr(source, kind)
        if name is not None:
            steps = "" if source.json_path is None else f" ({source.json_path})"
            return f"{kind} {name}{steps}"
    return f"the constant {source.constant!r}"


def _read(source: Source) -> Read:
    read = _at_its_place(source)
    if source.json_path is not None:
        read = _from_json(read, source)
    if source.index is not None:
        read = _entry(read, source.index)
    if source.template is not None:
        read = _each_text(read, _taken_by(source.template))
    if source.keep is not None:
        read = _each_text(read, _kept_by(Patterns(source.keep)))
    if source.drop is not None:
        read = _each_text(read, _dropped_by(Patterns(source.drop)))
    if source.values is not None:
        read = _each_text(read, _replaced_by(source.values))
    return read


def _at_its_place(source: Source) -> Read:
    if source.attribute is not None:
        name = source.attribute
        return lambda view: view.attributes.value(name)
    if source.resource is not None:
        key = source.resource
        return lambda view: view.resource.value(key)
    if source.item is not None:
        end = source.item
        return lambda view: view.attributes.value(view.item + end)
    if source.constant is not None:
        constant = source.constant
        return lambda view: constant
    return {
        "name": lambda view: view.span.name,
        "kind": lambda view: KINDS[view.span.kind] if 0 <= view.span.kind < len(KINDS) else None,
        "trace_id": lambda view: view.span.trace_id.hex(),
        "span_id": lambda view: view.span.span_id.hex(),
    }[source.span or "name"]


def _from_json(read: Read, source: Source) -> Read:
    assert source.json_path is not None
    steps = parse_json_path(source.json_path)
    place = _place(source.model_copy(update={"json_path": None}))

    def found(view: SpanView) -> Value:
        text = read(view)
        if text is None or text == "":
            return None
        # Items of the same name are different texts.
        value = follow(view.document(f"{place} {view.item}".rstrip(), text), steps)
        return _plain(value, f"{place}, {source.json_path}")

    return found


def _plain(value: object, place: str) -> Value:
    if value is None or isinstance(value, _SCALARS):
        return value
    if isinstance(value, list):
        entries: list[Value] = []
        for entry in value:
            if entry is not None and not isinstance(entry, _SCALARS):
                break
            entries.append(entry)
        else:
            return entries
    raise RefusedRecord(
        "bad_type",
        f"{place} = {shown(value)} is neither a text, a number nor a list of these; let the path "
        "go further",
    )


def _entry(read: Read, index: int) -> Read:
    def entry(view: SpanView) -> Value:
        value = read(view)
        if not isinstance(value, list) or not -len(value) <= index < len(value):
            return None
        return value[index]

    return entry


def _each_text(read: Read, change: Callable[[str], str | None]) -> Read:
    def changed(value: Value) -> Value:
        if isinstance(value, _SCALARS):
            text = semconv.class_text(value)
            return None if text is None else change(text)
        return None

    def all_changed(view: SpanView) -> Value:
        value = read(view)
        if isinstance(value, list):
            found = [changed(entry) for entry in value]
            return found if any(entry is not None for entry in found) else None
        return changed(value)

    return all_changed


def _taken_by(template: str) -> Callable[[str], str | None]:
    before, _, after = template.partition(HOLE)
    shape = re.compile(f"{_part_of(before)}({_PART}+){_part_of(after)}")

    def taken(text: str) -> str | None:
        match = shape.match(text) if len(text) <= TEMPLATE_CHARACTERS_MAX else None
        return None if match is None else match[1]

    return taken


def _part_of(template: str) -> str:
    return f"{_PART}*".join(map(re.escape, template.split("*")))


def _kept_by(patterns: Patterns) -> Callable[[str], str | None]:
    return lambda text: text if patterns.fit(text) else None


def _dropped_by(patterns: Patterns) -> Callable[[str], str | None]:
    return lambda text: None if patterns.fit(text) else text


def _replaced_by(values: dict[str, str]) -> Callable[[str], str | None]:
    table = [(Patterns([pattern]), value) for pattern, value in values.items()]

    def replaced(text: str) -> str | None:
        return next((value for patterns, value in table if patterns.fit(text)), None)

    return replaced
