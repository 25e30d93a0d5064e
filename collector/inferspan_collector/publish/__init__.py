"""Figures out: Jaeger, Prometheus, the JSON API. Publishers pull from the store."""
