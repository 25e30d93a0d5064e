"""For the product: how often is it right, what do mistakes cost, and whom to ask."""

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
    lines,
    query,
    stat,
    table,
)

DAY = f'{OF_TARGET},window="1d"'
HOUR = f'{OF_TARGET},window="1h"'


def today() -> list[Json]:
    """Numbers of a day."""
    rows = f'inferspan_quality_score_n{{{DAY},metric="accuracy"}}'
    right = f'sum(inferspan_quality_score{{{DAY},metric="accuracy"}} * {rows}) / sum({rows})'
    return [
        stat("Right, of the last day's answers", "Of those whose truth is known.", right, "percentunit", width=6),
        stat("Answers", "Of the last day.", f'sum(inferspan_window_predictions{{{SELECTED},window="1d"}})', "none", width=6),
        stat("Known by now", "Share of the last day's answers whose truth is known.",
             f"avg(inferspan_quality_coverage_ratio{{{DAY}}})", "percentunit", width=6),
        stat("Fast enough", "Share of the last day's answers within the objective.",
             f'avg(inferspan_latency_within_ratio{{{SELECTED},window="1d"}})', "percentunit", width=6),
    ]  # fmt: skip


def money() -> list[Json]:
    """What mistakes cost, by the prices that are configured."""
    return [
        stat("Cost of the last hour", "Rows times the price of their cell.",
             f'sum(inferspan_quality_score{{{HOUR},metric="cost_total"}})', "currencyEUR", width=8),
        lines("Cost of an answer", "Mean over the judged answers of the last hour, with its 95 % interval.",
              [query(f'inferspan_quality_score{{{HOUR},metric="cost_mean"}}', "{{version}}"),
               query(f'inferspan_quality_score_lower{{{HOUR},metric="cost_mean"}}', "{{version}} low"),
               query(f'inferspan_quality_score_upper{{{HOUR},metric="cost_mean"}}', "{{version}} high")],
              "currencyEUR", width=16),
    ]  # fmt: skip


def trend() -> list[Json]:
    """Where it is going, and what changed."""
    return [
        lines("Right answers", "Share of the last day's answers, at each moment.",
              [query(f'inferspan_quality_score{{{DAY},metric="accuracy"}}', "version {{version}}")],
              "percentunit", most=1),
        lines("Answers by version", "A new colour is a new version.",
              [query(f"sum by (version) (rate(inferspan_predictions_total{{{SELECTED}}}[$__rate_interval]))",
                     "version {{version}}")], "reqps", stacked=True, least=0),
        lines("Inputs that changed", "Columns that are further from what they were than their limit.",
              [query(f"count by (version) (max by (version, column) (inferspan_drift_score{{{SELECTED}}}"
                     f" > inferspan_drift_score_threshold_upper{{{SELECTED}}}))", "version {{version}}")],
              "none", least=0),
        lines("Objectives", "What is left of thirty days' budgets; below 0 one is overspent.",
              [query(f"min by (objective) (model_version:inferspan_error_budget:remaining_ratio30d{{{SELECTED}}})",
                     "{{objective}}")], "percentunit", most=1),
        table("Whom to ask", "What the configuration says of the model.",
              [("Known", "", 'max by (model, owner, description, runbook) (inferspan_model_info{model="$model"})')],
              hidden=("Value", "Known"), width=24),
    ]  # fmt: skip


def make() -> Json:
    """The board."""
    return board(
        "inferspan-product",
        "Product: what is it worth?",
        "How often the model is right, what mistakes cost, where it is going, what changed, whom to ask.",
        [MODEL, ENVIRONMENT, VERSION, TARGET],
        [("The last day", today()), ("Money", money()), ("Trend", trend())],
        since="now-7d",
    )
