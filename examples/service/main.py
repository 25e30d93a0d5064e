"""A fraud model behind a service, its load, and the truth about its answers.

python main.py                   one order after the other, until it is stopped
python main.py --per-second 100  more of them
kill -USR1 PID                   a fault: amounts come in cents from now on. Again: it is mended.

When it is stopped it labels what is open, and prints what it did as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import signal
import sys
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable

import inferspan

inferspan.configure(service_name="fraud-api")

Score = Callable[[str, float, str], dict[str, object]]
RISK = {"NL": -0.6, "DE": 0.0, "FR": 0.6}
"""What a country adds to the logarithm of the odds."""
CANARY = 0.2
"""Share of the orders that version 8 answers."""
OPEN_ORDERS = 20
"""How many orders wait for their truth."""


def odds(amount: float, country: str) -> float:
    """Logarithm of the odds that an order of this amount, in euros, is fraud."""
    return (amount - 500) / 60 + RISK[country]


def model(version: str, sharpness: float) -> Score:
    """A version of the model; the sharper, the surer it is."""

    @inferspan.predict(
        model="fraud",
        version=version,
        task="binary_classification",
        positive="fraud",
        prediction_id="order_id",
        slices=["country"],
        features=["amount", "country"],
    )
    def score(order_id: str, amount: float, country: str) -> dict[str, object]:
        with inferspan.stage("features"):
            x = max(-30.0, min(30.0, odds(amount, country)))
        with inferspan.stage("classify"):
            risk = 1 / (1 + math.exp(-sharpness * x))
        return {"label": "fraud" if risk > 0.5 else "legit", "score": risk}

    return score


class Shop:
    """Orders, their answers, and their truth some orders later."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.versions = {"7": model("7", 1.0), "8": model("8", 0.8)}
        self.open: deque[tuple[str, str, object]] = deque()
        self.run = uuid.uuid4().hex[:8]
        self.done: Counter[str] = Counter()

    def order(self, *, in_cents: bool) -> None:
        """Let one order be scored, and say what an earlier one really was."""
        amount = self.draw.uniform(10, 1000)
        country = self.draw.choice(tuple(RISK))
        version = "8" if self.draw.random() < CANARY else "7"
        is_fraud = self.draw.random() < 1 / (1 + math.exp(-odds(amount, country)))
        order_id = f"{self.run}-{self.done['orders']}"
        self.done["orders"] += 1
        # One order in two hundred comes from where the model knows nothing: it raises.
        known = self.draw.random() >= 0.005
        try:
            said = self.versions[version](
                order_id, amount * 100 if in_cents else amount, country if known else "??"
            )
        except KeyError:
            self.done["failed"] += 1
            return
        self.open.append((order_id, "fraud" if is_fraud else "legit", said["label"]))
        if len(self.open) > OPEN_ORDERS:
            self.label_oldest()

    def label_oldest(self) -> None:
        """Say what the oldest open order really was."""
        order_id, truth, said = self.open.popleft()
        inferspan.label(order_id, truth, model="fraud")
        self.done["right" if truth == said else "wrong"] += 1


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="A fraud model, its load and its labels.")
    parser.add_argument("--per-second", type=float, default=5.0, help="orders a second [5]")
    parser.add_argument("--seed", type=int, default=7, help="of all chance [7]")
    options = parser.parse_args()
    stopped, in_cents = threading.Event(), threading.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: stopped.set())

    def break_or_mend(*_: object) -> None:
        in_cents.clear() if in_cents.is_set() else in_cents.set()
        print("amounts come in", "cents" if in_cents.is_set() else "euros", file=sys.stderr)

    signal.signal(signal.SIGUSR1, break_or_mend)
    shop = Shop(options.seed)
    print("orders come in; SIGUSR1 is a fault, SIGTERM the end", file=sys.stderr)
    while not stopped.wait(1 / options.per_second):
        shop.order(in_cents=in_cents.is_set())
    while shop.open:
        shop.label_oldest()
    if not inferspan.flush(timeout=30):
        sys.exit("no collector took the spans: is OTEL_EXPORTER_OTLP_ENDPOINT the gateway?")
    print(json.dumps(dict(shop.done)))


if __name__ == "__main__":
    main()
