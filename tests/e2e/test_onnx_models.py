"""Zero code: models in ONNX files, and figures equal to those of scikit-learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from collector_process import serving
from test_libraries import (
    EXACT,
    RECORDS,
    answers_of,
    check_binary,
    check_numbers,
    check_several,
    label,
    quality,
)

WORKLOAD = Path(__file__).with_name("onnx_workload.py")
OPTIONS = {"onnxruntime": {"prediction_id": "input_feed.id", "version": 7}}


def test_figures_of_onnx_models_are_scikit_learns(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        answers = answers_of(
            served,
            WORKLOAD,
            INFERSPAN_INSTRUMENT=json.dumps(OPTIONS),
            OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="sklearn",  # the models are fitted there
        )
        for model, answer in answers.items():
            label(served, model, answer, "value" if model == "diabetes" else "class")
            if model != "diabetes":  # of float32: they sum to 1.0000001, and some are that
                answer["said"] = np.minimum(np.float32(answer["said"]), 1)
        check_binary(quality(served, "tumour"), answers["tumour"], RECORDS)
        check_several(quality(served, "iris", "macro"), answers["iris"], RECORDS)
        check_numbers(quality(served, "diabetes"), answers["diabetes"], EXACT)
