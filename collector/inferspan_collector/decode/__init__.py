"""OTLP requests → columnar batches. Pure: no clock, no I/O, and no request changes how another is
read.

`ordinary` reads what is ordinary with `compiled` code. For all else `wire` reads bytes,
`predictions`, `outputs` and `label_records` single records, `columns` stacks them. `mapping` puts
spans of others into our words. What breaks a rule is refused alone; its neighbours are not. What
breaks the decoder itself is found by `in_parts`, and refused alone, too.
"""

from __future__ import annotations

from inferspan_collector.decode.in_parts import PASSING
from inferspan_collector.decode.mapping import Mapper
from inferspan_collector.decode.requests import (
    UNDECODABLE,
    decode_logs,
    decode_logs_in_parts,
    decode_traces,
    decode_traces_in_parts,
)
from inferspan_collector.decode.together import Together, decode_traces_together
from inferspan_collector.decode.warming import is_compiled, warm
from inferspan_collector.decode.wire import Content, MalformedRequest

__all__ = [
    "PASSING",
    "UNDECODABLE",
    "Content",
    "MalformedRequest",
    "Mapper",
    "Together",
    "decode_logs",
    "decode_logs_in_parts",
    "decode_traces",
    "decode_traces_in_parts",
    "decode_traces_together",
    "is_compiled",
    "warm",
]
