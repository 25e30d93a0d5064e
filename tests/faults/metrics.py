"""What `/metrics` and the operating system say of a collector."""

from __future__ import annotations

from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families


def metric(api: str, name: str, **labels: str) -> float:
    """A counter, summed over the series that have these labels."""
    text = httpx.get(f"{api}/metrics", timeout=60.0).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def resident_bytes(pid: int, *, most: bool = False) -> int:
    """Memory that a process has resident, or the most that it ever had."""
    field = "VmHWM:" if most else "VmRSS:"
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(field))
    return int(line.split()[1]) * 1024
