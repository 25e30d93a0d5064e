"""Figures that a team defines for a model: what its mistakes cost, in its own words.

`expressions` is the language, `parsing` reads it, `states` makes mergeable states of it, `costs`
is a price per cell of the confusion matrix, `plugged_in` what Python packages bring.
"""
