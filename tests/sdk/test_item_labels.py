"""Labels of items of rankings: which item, and how relevant it was."""

from __future__ import annotations

import numpy as np
import pytest

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans


@pytest.mark.parametrize("value", [-1, "good", ["a"], [1.0], "-0.5", ""])
def test_what_says_no_relevance_is_no_label_of_an_item(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture, value: object
) -> None:
    assert inferspan.label("a", value, model=f"of {value!r}", item_id="sku") is None
    assert "from 0 on, True or False" in caplog.text
    assert inferspan.label("a", model="m", text="best", item_id="sku") is None
    assert spans.labels == []


def test_an_item_of_a_ranking_is_labelled_and_taken_back(spans: CapturedSpans) -> None:
    inferspan.label("a", True, model="m", item_id=np.int64(17))
    inferspan.label("a", model="m", item_id="17", action="delete")
    said = [dict(label.attributes or {}) for label in spans.labels]
    assert [one[semconv.PREDICTION_ITEM_ID] for one in said] == ["17", "17"]
    assert said[0][semconv.LABEL_CLASS] == "true"
    assert said[1][semconv.LABEL_ACTION] == "delete"
