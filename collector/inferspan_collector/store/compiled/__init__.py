"""What touches every row, compiled: hashes, groups, and the entries of recent keys."""
