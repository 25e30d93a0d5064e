"""Bytes in: OTLP over HTTP and gRPC, labels as NDJSON. Senders are answered nowhere else."""
