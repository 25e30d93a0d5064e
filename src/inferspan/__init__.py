"""inferspan: distributed tracing for model serving that ends in accuracy."""
