"""A collector in a thread of this process: the same receivers, store and API, sooner started."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferspan_collector.config import load
from inferspan_collector.server import running_collector


@dataclass(frozen=True)
class Running:
    """Where it listens."""

    otlp_http: str
    api: str


@contextlib.contextmanager
def running(
    data: Path,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    clock: Callable[[], int] | None = None,
) -> Iterator[Running]:
    """Run one over a data directory until the block ends.

    Args:
        data: the data directory.
        settings: section → key → value, beside what is needed to run it here.
        clock: Unix ns, in place of the system's.
    """
    sections: dict[str, dict[str, Any]] = {
        section: dict(keys) for section, keys in (settings or {}).items()
    }
    sections["receivers"] = {
        "otlp_http": "127.0.0.1:0",
        "api": "127.0.0.1:0",
        "otlp_grpc": "off",
    }
    sections["store"] = sections.get("store", {}) | {"data": str(data)}
    with running_collector(load(None, sections), clock) as collector:
        addresses = collector.addresses
        assert addresses.otlp_http is not None
        assert addresses.api is not None
        yield Running(addresses.otlp_http, addresses.api)
