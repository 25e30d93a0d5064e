"""Bytes in: OTLP over HTTP and gRPC, labels as NDJSON. The only places where a sender is answered."""
