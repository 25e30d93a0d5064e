"""From where on somebody should look: the same for the page, the doctor and the alerts.

`collector/prometheus/rules/alerts.yaml` repeats those that it alerts by, and a test holds it to
them.
"""

from __future__ import annotations

from typing import Final

DISK_FREE_BYTES_MIN: Final = 1_000_000_000
"""Bytes that should be free where the store lies: a full disk refuses everything."""
FULL_SHARE: Final = 0.8
"""Of the memory that a part may hold: beyond it the part is nearly full."""
MEANT_TO_FILL: Final = frozenset({"recent_ids"})
"""Parts that hold as much as they may and forget the oldest: full is how they are well."""
MONITOR_SECONDS: Final = 172_800.0
"""How far Jaeger's tab Monitor looks back: labels that take longer
are not seen there."""
