"""`inferspan doctor`: is everything on the way of a prediction as it should be, and if not, what?

One module per part of the way, each with one function `examine` that asks and yields findings:
`sender` (the SDK's exporter chain), `gateway`, `collector`, `figures` (of one model), `jaeger`,
`prometheus`.
"""
