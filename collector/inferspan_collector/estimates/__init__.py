"""Figures before their labels come: what quality will be, and how much of the truth is there yet.

`calibration` learns from the reference what a score is worth; `confidence_based` makes estimates
of a classification's figures of it, `direct_loss` those of a regression's errors; `settling`
learns how long labels take. None of them sees a label of the window that it speaks about.
"""
