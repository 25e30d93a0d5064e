"""What a transaction costs per span, by stage: batches in memory → the store's commit.

Predictions with ids of 32 digits, one slice and a class, half of them labelled: with the one before
(near), or spread over everything that is pending (scattered). CPU time of this process, checkpoints
apart. `--pending` fills the store first; with more pending, only time in memory and cache may grow.

    python benchmarks/bench_store.py [--pending 10000] [--group 8192] [--groups 40] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from inferspan_collector.batches import Decoded, LabelBatch, PredictionBatch, Strings, Texts
from inferspan_collector.config import load
from inferspan_collector.store.database import FILE_NAME, Database
from inferspan_collector.store.writer import Writer
from inferspan_collector.telemetry import Telemetry

START_NS = 1_795_000_000_000_000_000
REQUEST = 512
"""Predictions of one request; a label request has half as many."""


class Source:
    """Predictions by number, and labels of them."""

    def __init__(self, seed: int = 1) -> None:
        self._random = np.random.default_rng(seed)
        self.made = 0

    def ids(self, numbers: np.ndarray) -> Texts:
        """32 digits each: a mixed number, so that ids are in no order."""
        mixed = (numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(">u8")
        text = "".join(f"{n:032x}" for n in mixed.tolist())
        raw = np.frombuffer(text.encode("ascii"), np.uint8).copy()
        return Texts(raw, np.arange(len(numbers) + 1, dtype=np.int64) * 32)

    def predictions(self, n: int) -> PredictionBatch:
        """The next n."""
        numbers = np.arange(self.made, self.made + n)
        self.made += n
        times = START_NS + numbers * 1_000_000
        one = np.zeros(n, np.int32)
        text = {
            name: Strings(one, (value,)) if value else Strings(one - 1, ())
            for name, value in (
                ("environment", "prod"),
                ("service", "fraud-api"),
                ("model", "fraud"),
                ("version", "7"),
                ("variant", None),
                ("operation", "predict"),
                ("task", "binary_classification"),
                ("positive_class", "fraud"),
                ("error_type", None),
            )
        }
        high = self._random.integers(1, 2**63, n).astype(np.uint64)
        return PredictionBatch(
            **text,
            prediction_id=self.ids(numbers),
            index=one,
            span_row=one,
            trace=np.stack([high, numbers.astype(np.uint64)], axis=1),
            span=self._random.integers(1, 2**63, n).astype(np.uint64),
            kind=np.ones(n, np.int8),
            event_time=times,
            start_time=times,
            duration=self._random.integers(3_000_000, 4_000_000, n),
            received=np.full(n, START_NS + int(numbers[-1]) * 1_000_000),
            predicted=Strings((numbers % 2).astype(np.int32), ("fraud", "legit")),
            score=(numbers % 100) / 100,
            value=np.full(n, np.nan),
            adjusted_count=np.ones(n),
            slices={"country": Strings((numbers % 3).astype(np.int32), ("DE", "FR", "IT"))},
        )

    def labels(self, numbers: np.ndarray) -> LabelBatch:
        """One label of each."""
        n = len(numbers)
        one = np.zeros(n, np.int32)
        none = Strings(one - 1, ())
        absent = Texts.constant(None, n)
        return LabelBatch(
            label_id=self.ids(numbers + 2**40),
            revision=np.zeros(n, np.int64),
            environment=none,
            model=Strings(one, ("fraud",)),
            version=none,
            prediction_id=self.ids(numbers),
            index=one,
            item_id=absent,
            link_trace=np.zeros((n, 2), np.uint64),
            link_span=np.zeros(n, np.uint64),
            response_id=absent,
            entity_id=absent,
            target=Strings(one, ("default",)),
            kind=Strings(one, ("ground_truth",)),
            actual=Strings((numbers // 2 % 2).astype(np.int32), ("fraud", "legit")),
            value=np.full(n, np.nan),
            text=absent,
            time=np.full(n, START_NS + self.made * 1_000_000),
            received=np.full(n, START_NS + self.made * 1_000_000 + 1),
            source=Strings(one, ("bank",)),
            annotator_kind=none,
            deleted=np.zeros(n, np.bool_),
            weight=np.ones(n),
        )

    def group(self, size: int, labelled: np.ndarray | None = None) -> list[Decoded]:
        """Requests of `size` predictions, and labels of those that are named."""
        parts = [
            Decoded(self.predictions(min(REQUEST, size - at)), LabelBatch.empty())
            for at in range(0, size, REQUEST)
        ]
        if labelled is not None:
            parts += [
                Decoded(PredictionBatch.empty(), self.labels(labelled[at : at + REQUEST // 2]))
                for at in range(0, len(labelled), REQUEST // 2)
            ]
        return parts


def resident_mib() -> float:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def timed(
    writer: Writer, source: Source, arguments: argparse.Namespace, how: str
) -> dict[str, float]:
    """CPU time a span of so many groups."""
    scattered = np.random.default_rng(7).permutation(arguments.pending // 2) * 2 + 1
    took = []
    profile = cProfile.Profile(time.process_time) if arguments.profile else None
    for number in range(arguments.groups):
        before, half = source.made, arguments.group // 2
        if how == "near":
            labelled = np.arange(before - arguments.group, before, 2)
        else:
            labelled, scattered = scattered[:half], scattered[half:]
            if len(labelled) < half:
                break
        group = source.group(arguments.group, labelled)
        if profile and number > 5:
            profile.enable()
        start, wall = time.process_time(), time.perf_counter()
        writer.commit(group, START_NS)
        took.append((time.process_time() - start, time.perf_counter() - wall))
        if profile:
            profile.disable()
    if profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(28)
    spans = arguments.group + arguments.group // 2
    rest = np.array(took[min(5, len(took) - 1) :])
    return {
        "cpu_ns_a_span": float(rest[:, 0].mean() / spans * 1e9),
        "cpu_ns_a_span_median": float(np.median(rest[:, 0]) / spans * 1e9),
        "wall_ms_p50": float(np.median(rest[:, 1]) * 1e3),
        "wall_ms_max": float(rest[:, 1].max() * 1e3),
    }


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pending", type=int, default=20_000)
    parser.add_argument("--group", type=int, default=8192)
    parser.add_argument("--groups", type=int, default=40)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--data", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.data) as directory:
        database = Database.open(Path(directory))
        config = load(None, {"store": {"data": directory}})
        writer, source = Writer(database, config, Telemetry()), Source()
        while source.made < arguments.pending:
            writer.commit(source.group(min(131_072, arguments.pending - source.made)), START_NS)
        result: dict[str, object] = {"pending": source.made, "resident_mib": resident_mib()}
        for how in ("near", "scattered"):
            result[how] = timed(writer, source, arguments, how)
        result["resident_mib_after"] = resident_mib()
        begun = time.process_time()
        database.cursor().execute("CHECKPOINT")
        result["checkpoint_cpu_ms"] = (time.process_time() - begun) * 1e3
        result["bytes_a_prediction"] = os.path.getsize(Path(directory) / FILE_NAME) / source.made
        print(json.dumps(result, indent=2))
        database.close()
        began = time.perf_counter()
        database = Database.open(Path(directory))
        Writer(database, config, Telemetry())
        print(f"opened again in {time.perf_counter() - began:.2f} s")
        database.close()


if __name__ == "__main__":
    main()
