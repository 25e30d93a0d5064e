"""The `inferspan` command: one file per command."""
