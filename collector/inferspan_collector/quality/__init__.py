"""Figures from counts: one file per family, each merging by addition."""
