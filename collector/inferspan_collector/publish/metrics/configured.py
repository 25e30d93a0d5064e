"""What is promised of each model, who it belongs to, and where to look."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from prometheus_client.metrics_core import Metric

from inferspan_collector.config import Config
from inferspan_collector.publish.metrics.families import Labels, gauge, label


def link(url: str | None) -> str:
    """A configured address as something that a path can follow; "" where there is none."""
    return (url or "").rstrip("/")


def families(config: Config, models: Iterable[str]) -> list[Metric]:
    """The gauges of the models that are configured or have predictions."""
    known = sorted({*models, *config.models})
    objectives: dict[Labels, float] = {}
    limits: dict[Labels, float] = {}
    infos: dict[Labels, float] = {}
    for name in known:
        section = config.model(name)
        said = (section.owner, section.description, section.runbook)
        infos[(label(name), *(label(text) for text in said))] = 1
        shares = {
            ("", "availability"): section.availability_objective,
            (label(section.primary_target), "accuracy"): section.accuracy_objective,
        }
        if section.latency_objective_ms is not None:
            shares["", "latency"] = section.latency_objective_share
            limits[(label(name),)] = section.latency_objective_ms / 1e3
        for objective, share in shares.items():
            if share is not None:
                objectives[(label(name), *objective)] = share
    return [
        gauge(
            "inferspan_model_info",
            "A model, whose it is, and what to do about it.",
            ("model", "owner", "description", "runbook"),
            infos,
        ),
        gauge(
            "inferspan_objective_ratio",
            "The share that should be good.",
            ("model", "target", "objective"),
            objectives,
        ),
        gauge(
            "inferspan_latency_objective_seconds",
            "How long a call should take at most.",
            ("model",),
            limits,
        ),
        gauge(
            "inferspan_links_info",
            "Where readers find Grafana and Jaeger.",
            ("grafana", "jaeger"),
            {tuple(link(each) for each in (config.publish.grafana, config.jaeger.ui)): 1},
        ),
        gauge(
            "inferspan_build_info",
            "The version of this collector.",
            ("version",),
            {(version("inferspan-collector"),): 1},
        ),
    ]
