"""Several trace export requests read as one: what a request costs by itself is paid once.

Nearly all that senders send is ordinary. What is not, and whoever sent it, is read by itself, and
keeps none of the others from being read as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inferspan_collector.batches import Decoded
from inferspan_collector.decode.mapping import Mapper
from inferspan_collector.decode.ordinary import all_ordinary, read_together
from inferspan_collector.decode.wire import Content


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """What several requests hold."""

    decoded: Decoded
    """Of those that were read as one; nothing of them was refused."""
    places: tuple[int, ...]
    """Which these are, rising; the others are to be read by themselves."""


def decode_traces_together(
    bodies: Sequence[Content],
    *,
    received_ns: int,
    reserve: Callable[[int], None] = lambda rows: None,
    mapper: Mapper | None = None,
    labels: bool = True,
) -> Together | None:
    """Read several trace export requests, protobuf: a third of the time that each takes alone.

    Args:
        bodies: the requests, decompressed; of senders with the same rights.
        received_ns: the time of receipt, Unix ns.
        reserve: as of `decode_traces`.
        mapper: takes spans of others.
        labels: whether requests with labels may be among them.

    Returns:
        What stacking what `decode_traces` returns of each of `places` would give, `refused` empty.
        None where all are to be read by themselves.
    """
    ordinary, places = read_together(bodies, received_ns, reserve, mapper, labels)
    if ordinary is None or not places:
        return None
    decoded = all_ordinary(ordinary, sum(len(bodies[place]) for place in places))
    return None if decoded is None else Together(decoded, places)
