"""The store: one DuckDB file, one transaction per micro-batch, consistent readers."""
