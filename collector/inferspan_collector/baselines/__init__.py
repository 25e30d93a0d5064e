"""What a model was like before it went live, learnt from a file of labelled predictions.

`file_rows` reads the file, `building` learns from its rows, `document` is what is sent and stored
of it: frozen bins, counts, the calibration that estimates need, and offline figures. No row of the
file leaves the machine that it lies on.
"""
