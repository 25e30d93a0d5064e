"""What the provisioned dashboards ask Prometheus, with their variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from servers.build import ROOT
from servers.monitoring import Prometheus

DASHBOARDS = ROOT / "collector/grafana/dashboards"
FILLED = {
    "$__rate_interval": "5m",
    "$__range": "10m",
    "$__interval": "5s",
    "$model": "fraud",
    "$environment": ".*",
    "$version": ".*",
    "$column": ".*",
    "$slice": "country",
    "$value": ".*",
    "$target": "default",
    "$window": "1h",
    "$average": "binary",
    "$metric": "accuracy",
}
"""Variable → what somebody who opens the dashboard would have chosen."""


@dataclass(frozen=True)
class Asked:
    """One query of a panel, or of a variable (`label_values`)."""

    where: str
    expr: str
    exemplar: bool = False


def asked() -> list[Asked]:
    """Every query of every dashboard."""
    return [
        one
        for file in sorted(DASHBOARDS.glob("*.json"))
        for one in _of(json.loads(file.read_text()))
    ]


def _of(board: dict[str, Any]) -> Iterator[Asked]:
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield Asked(
                f"{board['uid']}: variable {variable['name']}", filled(variable["query"]["query"])
            )
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            where = f"{board['uid']}: {panel['title']} {target['refId']}"
            yield Asked(where, filled(target["expr"]), target.get("exemplar", False))


def filled(expr: str) -> str:
    """A query as Grafana would send it.

    Raises:
        AssertionError: it has a variable that nobody fills.
    """
    for name in sorted(FILLED, key=len, reverse=True):
        expr = expr.replace(name, FILLED[name])
    assert "$" not in expr, expr
    return expr


def unanswered(prometheus: Prometheus) -> list[str]:
    """The queries without answer: no series, none but NaN, no value of a label, no exemplar."""
    return [f"{one.where}: {one.expr}" for one in asked() if not _answered(prometheus, one)]


def _answered(prometheus: Prometheus, one: Asked) -> bool:
    if values := re.fullmatch(r"label_values\((.+), (\w+)\)", one.expr):
        found = prometheus.get(f"label/{values[2]}/values", **{"match[]": values[1]})
        return bool(found)
    answered = any(value == value for _, value in prometheus.query(one.expr))
    return answered and (not one.exemplar or bool(prometheus.exemplars(one.expr)))
