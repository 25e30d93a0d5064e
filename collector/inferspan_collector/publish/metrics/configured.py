"""What is promised of each model, who it belongs to, and where to look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version

from prometheus_client.metrics_core import Metric

from inferspan_collector.config import Config
from inferspan_collector.publish.jaeger_names import quality_service
from inferspan_collector.publish.metrics.families import Folding, Labels, gauge, label, leave_out


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


def evaluation_services(services: Mapping[str, str], room: int, folding: Folding) -> Metric:
    """Where Jaeger has the evaluations of each service.

    Args:
        services: as spans name them, "" = none given → the name that Jaeger's are made of.
        room: how many are shown.
        folding: counts those that are not.
    """
    infos: dict[Labels, float] = {
        (label(service), quality_service(safe)): 1 for service, safe in services.items()
    }
    leave_out(infos, room, folding, "jaeger_service")
    return gauge(
        "inferspan_jaeger_service_info",
        "The service under which Jaeger has a service's evaluations.",
        ("service", "evaluations"),
        infos,
    )
