"""For data science: how good is the model, how sure is that, and what changed."""

from __future__ import annotations

from parts import (
    ENVIRONMENT,
    IN_WINDOW,
    MODEL,
    OF_TARGET,
    SELECTED,
    TARGET,
    VERSION,
    Json,
    band,
    board,
    choice,
    lines,
    query,
    stat,
    table,
    variable,
)

AVERAGED = f'{IN_WINDOW},average=~"$average|"'
CHOSEN = f'{AVERAGED},metric="$metric"'
FIRST = f'{OF_TARGET},window="1h"'
"""Estimates and drift are of the first of publish.quality_windows."""
VARIABLES = [
    MODEL,
    ENVIRONMENT,
    VERSION,
    TARGET,
    choice("window", "Window", "1h", "1d"),
    choice("average", "Average", "binary", "macro", "micro", "weighted"),
    variable(
        "metric",
        "Figure",
        'label_values(inferspan_quality_score{model="$model",target="$target"}, metric)',
    ),
    variable("slice", "Slice", 'label_values(inferspan_slice_predictions{model="$model"}, slice)'),
    variable(
        "value",
        "Of the slice",
        'label_values(inferspan_slice_predictions{model="$model",slice="$slice"}, value)',
        several=True,
    ),
    variable(
        "column",
        "Column",
        'label_values(inferspan_drift_score{model="$model"}, column)',
        several=True,
    ),
]


def figures() -> list[Json]:
    """Figures with their intervals."""
    limits = [
        query(f"inferspan_quality_score_threshold_lower{{{CHOSEN}}}", "{{version}} limit"),
    ]
    return [
        lines("$metric, with its 95 % interval", "By prediction time, corrections applied. Its limits, where it has some.",
              band("inferspan_quality_score", CHOSEN, "{{version}} {{average}}") + limits, "none", width=16),
        stat("n", "Rows that $metric rests on.", f"inferspan_quality_score_n{{{CHOSEN}}}", "none",
             legend="{{version}}", width=8),
        lines("Precision, recall, F1", "Of the chosen average.",
              [query(f'inferspan_quality_score{{{IN_WINDOW},average="$average",metric=~"precision|recall|f1"}}',
                     "{{metric}} {{version}}")], "percentunit", least=0, most=1),
        lines("Scores: discrimination and calibration",
              "AUC and average precision: does the score tell classes apart? Calibration error and Brier: is it a probability?",
              [query(f'inferspan_quality_score{{{FIRST},metric=~"roc_auc|average_precision|brier_score|expected_calibration_error|log_loss"}}',
                     "{{metric}} {{version}}")], "none"),
    ]  # fmt: skip


def mistakes() -> list[Json]:
    """Which answers are wrong."""
    rows = f"sum by (actual, predicted) (inferspan_quality_confusion{{{IN_WINDOW}}})"
    wrong = f'inferspan_quality_outcomes_total{{{OF_TARGET},outcome="incorrect"}}'
    return [
        table("Confusion", "Rows of the window: what it was, and what was said.", [("Rows", "none", rows)]),
        lines("Mistakes by kind, as labels arrive", "A dot is one of them: it leads to its trace.",
              [query(f"sum by (actual, predicted) (rate({wrong}[$__rate_interval]))",
                     "{{actual}}, said {{predicted}}", exemplar=True)], "ops", least=0),
    ]  # fmt: skip


def slices() -> list[Json]:
    """Where it is right and where not."""
    sliced = f'{SELECTED},slice="$slice",value=~"$value"'
    scored = f'{sliced},target="$target",metric="accuracy"'
    return [
        lines("Accuracy by $slice", "Of the last hour, with its 95 % interval.",
              band("inferspan_slice_score", scored, "{{value}} {{version}}"), "percentunit", most=1),
        table("Slices, worst first", "Of the last hour.",
              [("Accuracy", "percentunit", f"sort(inferspan_slice_score{{{scored}}})"),
               ("from", "percentunit", f"inferspan_slice_score_lower{{{scored}}}"),
               ("to", "percentunit", f"inferspan_slice_score_upper{{{scored}}}"),
               ("n", "none", f"inferspan_slice_score_n{{{scored}}}")],
              hidden=("model", "target", "metric", "window", "slice")),
        lines("Predictions by $slice", "Of the last hour.",
              [query(f"sum by (value) (inferspan_slice_predictions{{{sliced}}})", "{{value}}")],
              "none", width=24, stacked=True, least=0),
    ]  # fmt: skip


def truth() -> list[Json]:
    """How much of the truth is there, and what to expect until then."""
    return [
        lines("Coverage and settled share",
              "Labelled share of the predictions; share of the labels that come in the end which should be there by now.",
              [query(f"inferspan_quality_coverage_ratio{{{IN_WINDOW}}}", "labelled {{version}}"),
               query(f"inferspan_quality_settled_ratio{{{FIRST}}}", "settled {{version}}")],
              "percentunit", least=0, most=1),
        lines("How long labels take", "Half of them, nine of ten, nearly all.",
              [query(f"inferspan_label_lag_seconds{{{OF_TARGET}}}", "{{share}} {{version}}")], "s", least=0),
        lines("Accuracy: expected beside true", "Expected from the scores, without a label; true so far.",
              band("inferspan_estimated_score", f'{FIRST},metric="accuracy"', "expected {{version}}")
              + band("inferspan_realized_score", f'{FIRST},metric="accuracy"', "true {{version}}"),
              "percentunit", most=1),
        lines("Gap of all estimated figures", "What became true less what was expected: far from 0, estimates cannot be believed.",
              [query(f"inferspan_estimate_gap{{{FIRST}}}", "{{metric}} {{version}}")], "none"),
    ]  # fmt: skip


def change() -> list[Json]:
    """Drift, and versions side by side."""
    drift = f'{SELECTED},column=~"$column"'
    return [
        lines("Drift", "Jensen-Shannon distance of each column from the reference; 0 is no change.",
              [query(f'inferspan_drift_score{{{drift},method="jensen_shannon"}}', "{{column}} {{version}}"),
               query(f'inferspan_drift_score_threshold_upper{{{drift},method="jensen_shannon"}}', "{{column}} {{version}} limit")],
              "none", least=0),
        table("Drift above its limit", "Share of the limit: 1 and more alerts.",
              [("Of the limit", "none",
                f"sort_desc(max by (column, method) (inferspan_drift_score{{{drift}}}"
                f" / (inferspan_drift_score_threshold_upper{{{drift}}} > 0)))")]),
        table("Versions compared", "In the chosen window; `inferspan compare` says which difference is one.",
              [(heading, unit, f'max by (version) ({name}{{{IN_WINDOW},metric="accuracy"}})')
               for heading, unit, name in (
                   ("Accuracy", "percentunit", "inferspan_quality_score"),
                   ("from", "percentunit", "inferspan_quality_score_lower"),
                   ("to", "percentunit", "inferspan_quality_score_upper"),
                   ("n", "none", "inferspan_quality_score_n"))]),
        table("Latency and volume of versions", "In the chosen window.",
              [("Calls", "none", f'max by (version) (inferspan_window_predictions{{{SELECTED},window="$window",status="ok"}})'),
               ("p50", "s", f'max by (version) (inferspan_latency_quantile_seconds{{{SELECTED},window="$window",share="0.5"}})'),
               ("p95", "s", f'max by (version) (inferspan_latency_quantile_seconds{{{SELECTED},window="$window",share="0.95"}})'),
               ("p99", "s", f'max by (version) (inferspan_latency_quantile_seconds{{{SELECTED},window="$window",share="0.99"}})')]),
    ]  # fmt: skip


def make() -> Json:
    """The board."""
    return board(
        "inferspan-data-science",
        "Data science: how good is the model?",
        "Figures with intervals and n, calibration, confusion, drift, coverage, estimates beside the truth, versions compared.",
        VARIABLES,
        [
            ("Figures", figures()),
            ("Mistakes", mistakes()),
            ("Slices", slices()),
            ("The truth so far", truth()),
            ("What changed", change()),
        ],
        since="now-6h",
    )
