"""The pathology, a second process: it learns the truth later and sends it as labels.

It reads one line of JSON per label on standard input, and sends each when its delay is over, so
that labels leave late and shuffled. `{"hold": true}` makes it flush, say so, and wait;
`{"hold": false}` lets it go on. At the end of the input it sends the rest at once.
"""

from __future__ import annotations

import heapq
import json
import queue
import sys
import threading
import time
from typing import Any

import inferspan
from inferspan_collector.cli.demo import names

FLUSH_SECONDS = 60


def send_labels(lines: queue.Queue[dict[str, Any] | None]) -> int:
    """Send labels when they are due, until None has come and all are sent.

    Args:
        lines: labels (`delay` in seconds, `id`, `actual`, `revision`) and `hold` commands.

    Returns:
        How many were sent.
    """
    due: list[tuple[float, int, dict[str, Any]]] = []
    received = sent = 0
    holding = ended = False
    while not ended or due:
        wait = max(0.0, due[0][0] - time.monotonic()) if due and not holding else None
        line = None
        if not ended:
            try:
                line = lines.get(timeout=wait)
                ended = line is None
            except queue.Empty:
                pass
        if line is not None and "hold" in line:
            holding = line["hold"]
            if holding:
                tell(held=inferspan.flush(timeout=FLUSH_SECONDS), sent=sent)
        elif line is not None:
            received += 1
            heapq.heappush(due, (time.monotonic() + line["delay"], received, line))
        while due and (ended or (not holding and due[0][0] <= time.monotonic())):
            label = heapq.heappop(due)[2]
            inferspan.label(
                label["id"],
                label["actual"],
                model=names.MODEL,
                id=f"pathology-{label['id']}",
                revision=label["revision"],
                source="pathology",
            )
            sent += 1
    return sent


def read_lines(lines: queue.Queue[dict[str, Any] | None]) -> None:
    """Pass standard input on, line by line, then None."""
    for line in sys.stdin:
        lines.put(json.loads(line))
    lines.put(None)


def tell(**fields: object) -> None:
    """Tell the demo, one line of JSON."""
    print(json.dumps(fields), flush=True)


def main() -> None:
    """Connect and send until standard input ends."""
    inferspan.configure(service_name="pathology")
    lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=read_lines, args=(lines,), daemon=True).start()
    sent = send_labels(lines)
    tell(flushed=inferspan.flush(timeout=FLUSH_SECONDS), sent=sent)


if __name__ == "__main__":
    main()
