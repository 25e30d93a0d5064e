"""Spans of other SDKs and servers → our vocabulary, by the rules of `config.mappings`.

A mapping says the same thing in other words: what it gives are attributes of the vocabulary, and
they are read, limited and refused exactly as if the sender had written them. Pure, as all of
`decode`.

Only spans that could match are looked at: `Mapper.keys` says, once for each scope, which attribute
a span has to carry.
"""

from __future__ import annotations

from inferspan_collector.decode.mapping.rules import OUR_SCOPES, Mapped, Mapper, Rule
from inferspan_collector.decode.mapping.views import SpanView

__all__ = ["OUR_SCOPES", "Mapped", "Mapper", "Rule", "SpanView"]
