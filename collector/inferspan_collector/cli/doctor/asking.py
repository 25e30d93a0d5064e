"""Questions over HTTP to servers that are not ours: short, bounded, and never an exception."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from prometheus_client.parser import text_string_to_metric_families

SECONDS_MAX: Final = 5.0
BYTES_MAX: Final = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; `status` 0 = there was none, and `body` says why."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def there(self) -> bool:
        """Whether anything answered."""
        return self.status != 0

    @property
    def text(self) -> str:
        """The first words of it."""
        return self.body[:300].decode("utf-8", "replace").strip().split("\n", 1)[0]

    def json(self) -> Any:
        """The JSON of it; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def said(self) -> str:
        """What was seen, in some words."""
        return (
            f"HTTP {self.status} {self.text}".strip() if self.there else f"no answer: {self.text}"
        )


def ask(
    url: str,
    parameters: Mapping[str, str] | None = None,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """GET, or POST of a body."""
    query = f"?{urlencode(parameters)}" if parameters else ""
    try:
        request = urllib.request.Request(f"{url}{query}", data=body, headers=dict(headers or {}))
        with urllib.request.urlopen(request, timeout=SECONDS_MAX) as answer:
            return Answer(answer.status, answer.read(BYTES_MAX), dict(answer.headers))
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read(BYTES_MAX), dict(error.headers))
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        return Answer(0, str(reason).encode())


Samples = dict[str, list[tuple[dict[str, str], float]]]


def samples(text: str) -> Samples:
    """Name → (labels, value) of a text that Prometheus scrapes; {} where it is none.

    A counter's name is without `_total`.
    """
    found: Samples = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removesuffix("_total")
                found.setdefault(name, []).append((dict(sample.labels), float(sample.value)))
    except ValueError:
        return {}
    return found


def total(found: Samples, name: str, **labels: str) -> float:
    """The sum of a series over those with these labels; 0 where it is not there."""
    return sum(
        value
        for mine, value in found.get(name, [])
        if all(mine.get(key) == text for key, text in labels.items())
    )
