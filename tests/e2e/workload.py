"""A model server and its labels, as a user would write them: run with `OTEL_*` set.

`python workload.py N RUN` predicts N times with the demo's model and then labels: 95 % of the
predictions, 20 of them corrected and 5 taken back later, and a second target. It prints one line
of JSON per prediction: what was said, and what is finally true per target.
"""

from __future__ import annotations

import json
import random
import sys
import time

import inferspan
from inferspan_collector.cli.demo import clinic, names
from inferspan_collector.cli.demo.clinic import Plan
from inferspan_collector.cli.demo.serving import screening

SECOND_TARGET = "second_read"
CORRECTED, DELETED = 20, 5


def send_labels(prediction_id: str, actual: str, fate: str) -> str | None:
    """Send what the label's fate asks for, and return what is true in the end."""
    label_id = f"pathology-{prediction_id}"

    def send(value: str, revision: int) -> None:
        inferspan.label(prediction_id, value, model=names.MODEL, id=label_id, revision=revision)

    other = names.CLASSES[1 - names.CLASSES.index(actual)]
    if fate == "none":
        return None
    send(other if fate == "corrected" else actual, revision=0)
    if fate == "corrected":
        send(actual, revision=1)
    if fate == "deleted":
        inferspan.label(prediction_id, model=names.MODEL, id=label_id, revision=2, action="delete")
        return None
    return actual


def main() -> None:
    """Predict, then label."""
    count, run = int(sys.argv[1]), sys.argv[2]
    plan = Plan(seconds=-(-count // clinic.VISITS_PER_SECOND), seed=7)
    chance = random.Random(7)
    fates = ["none"] * (count // 20) + ["corrected"] * CORRECTED + ["deleted"] * DELETED
    fates += ["labeled"] * (count - len(fates))
    chance.shuffle(fates)
    inferspan.configure(service_name=run)
    pipeline = clinic.train(clinic.load_patients())
    versions = {version: screening(pipeline, version) for version in ("1", "2")}
    for visit in range(count):
        prediction_id = f"{run}-{visit}"
        version, hospital = plan.version(visit), plan.hospital(visit)
        said = versions[version](
            prediction_id, hospital, time.time_ns(), plan.names(visit), plan.measurements(visit)
        )
        actual = plan.actual(visit)
        truth = {"default": send_labels(prediction_id, actual, fates[visit])}
        if visit % 3 == 0:
            second = chance.choice(names.CLASSES)
            inferspan.label(prediction_id, second, model=names.MODEL, target=SECOND_TARGET)
            truth[SECOND_TARGET] = second
        print(
            json.dumps(
                {
                    "id": prediction_id,
                    "predicted": said["label"],
                    "version": version,
                    "hospital": hospital,
                    "truth": truth,
                }
            )
        )
        if visit % 200 == 0:
            inferspan.flush(timeout=30)
    assert inferspan.flush(timeout=60)


if __name__ == "__main__":
    main()
