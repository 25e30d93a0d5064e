"""`python -m inferspan_collector.cli`: the same as the console script `inferspan`."""

from inferspan_collector.cli import main

main()
