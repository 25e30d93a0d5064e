"""Load, servers and measures of `bench_ingest.py`."""
