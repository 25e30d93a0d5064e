"""Whether what comes in, or what the model says of it, is still what it was.

`bins` freezes the reference, `counts` is what merges, `methods/` holds one distance a file,
`checks/` one question about the data a file, `thresholds` says how far is too far, `passes` runs
all of it over features × windows, and `adaptive_windowing` watches a stream of errors.
"""
