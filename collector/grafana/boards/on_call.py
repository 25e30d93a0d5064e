"""For who is on call: is it up, fast and right; and if not, where."""

from __future__ import annotations

from parts import (
    ENVIRONMENT,
    MODEL,
    OF_TARGET,
    SELECTED,
    TARGET,
    VERSION,
    Json,
    board,
    heat,
    lines,
    query,
    stat,
    table,
)

RATE = "[$__rate_interval]"
BUCKETS = f"rate(inferspan_prediction_duration_seconds_bucket{{{SELECTED}}}{RATE})"
STAGES = f"rate(inferspan_stage_duration_seconds_bucket{{{SELECTED}}}{RATE})"
STEP = "{{stage}} {{phase}}"
JUDGED = f'inferspan_evaluations_total{{{OF_TARGET},outcome=~"correct|incorrect"}}'
WRONG = f'inferspan_evaluations_total{{{OF_TARGET},outcome="incorrect"}}'


def now() -> list[Json]:
    """Numbers of this moment."""
    calls = f"sum(rate(inferspan_predictions_total{{{SELECTED}}}{RATE}))"
    failed = f'sum(rate(inferspan_predictions_total{{{SELECTED},status="error"}}{RATE}))'
    right = f'sum(rate(inferspan_evaluations_total{{{OF_TARGET},outcome="correct"}}{RATE}))'
    return [
        stat("Calls", "Predictions a second.", calls, "reqps"),
        stat("Failed", "Share of the calls that raised.", f"{failed} / {calls}", "percentunit",
             bounds=[(None, "green"), (0.01, "orange"), (0.05, "red")]),
        stat("p95", "95 of 100 calls took no longer.",
             f"histogram_quantile(0.95, sum by (le) ({BUCKETS}))", "s"),
        stat("Right, as labels arrive", "Share of the judged predictions whose label just came.",
             f"{right} / sum(rate({JUDGED}{RATE}))", "percentunit"),
        stat("Budget burnt", "1 = a budget of thirty days lasts thirty days; the fastest one, over an hour.",
             f"max by (objective) (model_version:inferspan_error_budget:burn_rate1h{{{SELECTED}}})",
             legend="{{objective}}", bounds=[(None, "green"), (1, "orange"), (14.4, "red")], width=8),
    ]  # fmt: skip


def service() -> list[Json]:
    """Rate, errors, latency, budgets."""
    quantiles = {q: f"histogram_quantile({q}, sum by (le) ({BUCKETS}))" for q in (0.5, 0.95, 0.99)}
    return [
        lines("Calls by version", "And by what became of them.",
              [query(f"sum by (version, status) (rate(inferspan_predictions_total{{{SELECTED}}}{RATE}))",
                     "{{version}} {{status}}")], "reqps", stacked=True, least=0),
        lines("Failed calls", "Share of the calls that raised, by version.",
              [query(f"model_version:inferspan_prediction_errors:ratio_rate5m{{{SELECTED}}}",
                     "{{environment}} {{version}}")], "percentunit", least=0),
        lines("Latency", "A dot is one call: it leads to its trace.",
              [query(expr, f"p{q * 100:.0f}", exemplar=q == 0.99) for q, expr in quantiles.items()]
              + [query('inferspan_latency_objective_seconds{model="$model"}', "objective limit")],
              "s", least=0),
        heat("Latency, all calls", "How many calls took how long.",
             f"sum by (le) ({BUCKETS})", "s"),
        lines("Stages and phases, p95", "Of recorded traces: where the time of a call goes. A stage may hold others.",
              [query(f"histogram_quantile(0.95, sum by (stage, phase, le) ({STAGES}))", STEP)],
              "s", least=0),
        lines("Stages and phases, coverage", "Share of the calls whose trace tells of it.",
              [query(f"sum by (stage, phase) (rate(inferspan_stage_predictions_total{{{SELECTED}}}{RATE}))"
                     f" / scalar(sum(rate(inferspan_predictions_total{{{SELECTED}}}{RATE})))", STEP)],
              "percentunit", least=0),
        lines("Budgets", "What is left of thirty days' budgets; below 0 one is overspent.",
              [query(f"model_version:inferspan_error_budget:remaining_ratio30d{{{SELECTED}}}",
                     "{{objective}} {{version}}")], "percentunit", most=1),
    ]  # fmt: skip


def quality() -> list[Json]:
    """Right or wrong, and what fires."""
    return [
        lines("Wrong predictions, as labels arrive", "A dot is one mistake: it leads to its trace.",
              [query(f"sum by (version) (rate({WRONG}{RATE}))", "{{version}}", exemplar=True)],
              "ops", least=0),
        lines("Accuracy of the last hour, by prediction time",
              "Corrections applied. Dashed: its 95 % interval, and the limit below which it alerts.",
              [query(f'inferspan_quality_score{{{OF_TARGET},metric="accuracy",window="1h"}}', "{{version}}"),
               query(f'inferspan_quality_score_lower{{{OF_TARGET},metric="accuracy",window="1h"}}', "{{version}} low"),
               query(f'inferspan_quality_score_upper{{{OF_TARGET},metric="accuracy",window="1h"}}', "{{version}} high"),
               query(f'inferspan_quality_score_threshold_lower{{{OF_TARGET},metric="accuracy",window="1h"}}', "{{version}} limit")],
              "percentunit", most=1),
        table("Alerts", "Those that fire or are about to.",
              [("State", "", 'max by (alertname, alertstate, model, version, severity) (ALERTS{model=~"$model|"})')],
              hidden=("Value",)),
        lines("Labels", "What became of those that came, of all models.",
              [query(f"sum by (result) (rate(inferspan_labels_total{RATE}))", "{{result}}")],
              "ops", stacked=True, least=0),
    ]  # fmt: skip


def collector() -> list[Json]:
    """Inferspan and the gateway themselves."""
    return [
        lines("Taken", "Predictions and labels committed.",
              [query(f"sum by (signal) (rate(inferspan_accepted_records_total{RATE}))", "{{signal}}")],
              "ops", least=0),
        lines("Refused", "For what they contain; each is lost.",
              [query(f"sum by (signal, reason) (rate(inferspan_refused_records_total{RATE}))",
                     "{{signal}} {{reason}}")], "ops", least=0),
        lines("Waiting in the gateway", "For inferspan, on disk; for Jaeger, in memory.",
              [query("otelcol_exporter_queue_size", "{{exporter}}"),
               query("otelcol_exporter_queue_capacity", "{{exporter}} limit")], "none", least=0),
        lines("Held in memory", "Of what may be held; beyond it senders are told to come again.",
              [query("inferspan_held_bytes / on (instance, part) inferspan_held_bytes_limit", "{{part}}")],
              "percentunit", least=0, most=1),
        lines("Spans for Jaeger", "Evaluations sent, or not; traces of unsampled mistakes rebuilt, or left out (rate).",
              [query(f"sum by (result) (rate(inferspan_published_evaluations_total{RATE}))", "{{result}}"),
               query(f"sum by (result) (rate(inferspan_rebuilt_spans_total{RATE}))", "mistakes: {{result}}")],
              "ops", least=0),
        lines("Disk", "What the store takes.",
              [query("inferspan_store_bytes", "{{part}}")], "bytes", stacked=True, least=0),
        stat("Free disk", "Where the store lies.", "inferspan_store_disk_free_bytes", "bytes", width=6),
        stat("Version", "Of the collector.", "inferspan_build_info", legend="{{version}}", width=6),
    ]  # fmt: skip


def make() -> Json:
    """The board."""
    return board(
        "inferspan-on-call",
        "On call: is it up, fast and right?",
        "Rate, errors, latency, objectives, mistakes and drops of a model, and inferspan itself.",
        [MODEL, ENVIRONMENT, VERSION, TARGET],
        [
            ("Now", now()),
            ("The service", service()),
            ("The answers", quality()),
            ("inferspan", collector()),
        ],
        since="now-1h",
    )
