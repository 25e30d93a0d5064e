"""`inferspan report`: what is known of a model, for people, for a pull request, for a program.

`gathering` asks a collector, `sections` says what stands in which table, `terminal`, `page` and
`markdown` write the same sections down.
"""
