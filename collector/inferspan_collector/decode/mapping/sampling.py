"""How many spans a sampled one stands for, as OpenTelemetry writes it into the trace state."""

from __future__ import annotations

import re
from typing import Final

_THRESHOLD: Final = re.compile(r"th:([0-9a-f]{1,14})(?![0-9a-zA-Z])")
_ALL: Final = 1 << 56


def adjusted_count(trace_state: str) -> float:
    """The adjusted count of `ot=th:…`: 2^56 ÷ (2^56 − threshold). 1 without a valid threshold.

    Source: OpenTelemetry, "TraceState: Probability Sampling". The threshold is up to 14 hexadecimal
    digits, zeros to the right left out; `th:c` is one span in four.
    """
    for member in trace_state.split(","):
        key, _, fields = member.strip().partition("=")
        if key != "ot":
            continue
        for field in fields.split(";"):
            match = _THRESHOLD.fullmatch(field)
            if match is not None:
                return _ALL / (_ALL - int(match[1].ljust(14, "0"), 16))
    return 1.0
