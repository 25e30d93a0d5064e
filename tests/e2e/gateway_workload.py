"""Predictions and their labels, as many as each line says; `OTEL_EXPORTER_OTLP_ENDPOINT` is set.

Each line on standard input is a number of orders to predict and to label, and is answered as soon
as they are made, whatever has become of them. At the end of the input everything is flushed, and
the last line says whether the receiver took it all.
"""

from __future__ import annotations

import json
import sys

import inferspan
from inferspan.delivery import delivery_counts

FLUSH_SECONDS = 50.0


@inferspan.predict(
    model="fraud",
    version="7",
    task="binary_classification",
    positive="fraud",
    prediction_id="order",
)
def fraud(order: str) -> str:
    return "fraud" if order.endswith("7") else "legit"


def main() -> None:
    inferspan.configure(service_name="gateway-shop")
    made = 0
    for line in sys.stdin:
        for _ in range(int(line)):
            order = f"order-{made}"
            fraud(order)
            inferspan.label(order, "fraud" if made % 5 == 0 else "legit", model="fraud")
            made += 1
        print(made, flush=True)
    taken = inferspan.flush(FLUSH_SECONDS)
    print(json.dumps({"taken": taken, "counts": delivery_counts()}), flush=True)


if __name__ == "__main__":
    main()
