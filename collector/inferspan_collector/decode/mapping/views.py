"""One foreign span as the rules of a mapping look at it."""

from __future__ import annotations

import json
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from inferspan_collector.decode.attributes import Attributes, RefusedRecord, Value, shown

JSON_CHARACTERS_MAX: Final = 65_536
"""A longer JSON text is not parsed."""


class SpanView:
    """A span with its scope and its resource; `item` is the prefix that `each` has come to."""

    __slots__ = ("_documents", "attributes", "item", "resource", "scope", "span")

    def __init__(
        self, span: Span, attributes: Attributes, scope: str, resource: Attributes, item: str = ""
    ) -> None:
        self.span = span
        self.attributes = attributes
        self.scope = scope
        self.resource = resource
        self.item = item
        self._documents: dict[str, object] = {}

    def at(self, item: str) -> SpanView:
        """The same span, at one number of what `each` names."""
        view = SpanView(self.span, self.attributes, self.scope, self.resource, item)
        view._documents = self._documents
        return view

    def document(self, place: str, text: Value) -> object:
        """The JSON document that a text is; `place` says where it stands. Parsed once.

        Raises:
            RefusedRecord: it is none.
        """
        if place not in self._documents:
            self._documents[place] = _parsed(place, text)
        return self._documents[place]


def _parsed(place: str, text: Value) -> object:
    if not isinstance(text, str):
        raise RefusedRecord("bad_json", f"{place} = {shown(text)} is not a text of JSON")
    if len(text) > JSON_CHARACTERS_MAX:
        raise RefusedRecord(
            "bad_json",
            f"{place} has {len(text)} characters; JSON of at most {JSON_CHARACTERS_MAX} is read",
        )
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RefusedRecord(
            "bad_json",
            f"{place} = {shown(text)} is not JSON ({error}); was it cut by a limit of its sender?",
        ) from None
