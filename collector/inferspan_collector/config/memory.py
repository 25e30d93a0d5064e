"""`limits.memory`: one ceiling, shared out over what is bounded part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from inferspan_collector.config.store import Store

BASE_BYTES: Final = 400_000_000
"""The interpreter, libraries, compiled code, threads, and freed memory that is kept."""
HOT_KEY_BYTES: Final = 91
"""At most, of each of `store.hot_keys`: an entry, and a place in a table that has just doubled."""
COLD_KEY_BYTES: Final = 6
"""Of each of `store.cold_keys`: bits of a set that errs."""


@dataclass(frozen=True, slots=True)
class Part:
    """One bounded part.

    `share` is of what the ceiling leaves beside the base; `bytes_each` is what one of the key's
    unit takes.
    """

    section: str
    key: str
    share: float
    bytes_each: int = 1
    least: int = 0
    """Bytes below which it does not work."""
    most: int | None = None
    """Of the key's unit: what it has without a ceiling."""

    @property
    def name(self) -> str:
        """As the configuration writes it."""
        return f"{self.section}.{self.key}"


PARTS: Final = (
    # Once for requests under way, once for those that wait for the writer.
    Part("limits", "queue_bytes", 0.20, bytes_each=2),
    Part("store", "memory", 0.40, least=64_000_000),
    Part("store", "hot_keys", 0.36, bytes_each=HOT_KEY_BYTES, most=Store().hot_keys),
    Part("store", "cold_keys", 0.04, bytes_each=COLD_KEY_BYTES, most=Store().cold_keys),
)


def shared_out(
    ceiling_bytes: int, set_bytes: Mapping[str, int], request_bytes: int
) -> Mapping[str, int]:
    """What each part that is not set may take.

    Args:
        ceiling_bytes: of the whole process.
        set_bytes: names of parts that the configuration sets → what they take, in bytes.
        request_bytes: one request, which must always find room.

    Returns:
        Name → its value in the key's own unit.

    Raises:
        ValueError: the parts have no room below the ceiling.
    """
    room = ceiling_bytes - BASE_BYTES - sum(set_bytes.values())
    unset = [part for part in PARTS if part.name not in set_bytes]
    shares = sum(part.share for part in unset)
    found: dict[str, int] = {}
    for part in unset:
        value = int(room * part.share / shares) // part.bytes_each
        found[part.name] = value if part.most is None else min(value, part.most)
    starved = any(found[part.name] * part.bytes_each < part.least for part in unset)
    if room < 0 or starved or found.get("limits.queue_bytes", request_bytes) < request_bytes:
        named = ", ".join(f"{name} takes {n // 10**6} MB" for name, n in set_bytes.items())
        raise ValueError(
            f"limits.memory = {ceiling_bytes // 10**6} MB is too little: {BASE_BYTES // 10**6} MB "
            f"are taken before the first request{', ' + named if named else ''}, and requests "
            f"under way and in the queue need limits.request_bytes = {request_bytes // 10**6} MB "
            "each; raise it, or lower these"
        )
    return found
