"""Bytes to columnar batches: `wire` parses a request, `columns` turns it into batches."""
