"""The series of `/metrics`, one module a kind, and what they share.

`arrivals` and `stages` only grow, by the time of arrival; `windows` are gauges by the time of the
predictions, corrections applied; `row_figures` are those that need rows, made beside the scrapes,
and `slices` those within a slice; `configured` says what is promised; `own` is about this process.
`families` names and caps them. `publish.prometheus` puts them together.
"""
