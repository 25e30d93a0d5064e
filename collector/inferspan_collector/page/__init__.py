"""The web page at `/`, for who has neither Jaeger nor Grafana.

It asks the JSON API of its own process, as a program would over the network, so that it shows the
same numbers and computes none of them a second time. `parts/` holds one section of the page each.
"""
