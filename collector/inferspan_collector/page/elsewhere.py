"""Where a model is seen beside this page: its dashboards in Grafana, its traces in Jaeger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from typing import Final
from urllib.parse import urlencode

from inferspan import semconv
from inferspan_collector.page.choices import Choice
from inferspan_collector.publish.jaeger_names import quality_service

BOARDS: Final = {
    "Grafana: on call": "inferspan-on-call",
    "data science": "inferspan-data-science",
    "product": "inferspan-product",
}
"""What is said → the dashboard's uid."""
SERVICES_MAX: Final = 3
"""Services of a model whose traces are linked."""
TRACES: Final = 20

Link = tuple[str, str]
"""What is said, and where it leads."""


def links(
    choice: Choice, services: Mapping[str, str], grafana: str | None, jaeger: str | None
) -> list[Link]:
    """Links to the same model, version and time.

    Args:
        choice: what is shown here.
        services: of the model, as spans name them → as Jaeger's names are made of them.
        grafana: its address without a slash at the end; None = there is none.
        jaeger: the same.
    """
    found: list[Link] = []
    if grafana is not None:
        shown = {"var-model": choice.model, "var-version": choice.get("version")}
        shown |= {"from": str(choice.start * 60_000), "to": str(choice.end * 60_000)}
        asked = urlencode({name: text for name, text in shown.items() if text})
        found += [(said, f"{grafana}/d/{uid}?{asked}") for said, uid in BOARDS.items()]
    if jaeger is not None:
        search = {
            "tags": json.dumps({semconv.EVALUATION_OUTCOME: "incorrect"}),
            "start": choice.start * 60_000_000,
            "end": choice.end * 60_000_000,
            "limit": TRACES,
        }
        for service, safe in islice(services.items(), SERVICES_MAX):
            asked = urlencode({"service": quality_service(safe), **search})
            found.append((f"Jaeger: mistakes of {service}", f"{jaeger}/search?{asked}"))
    return found
