"""Charts as plain SVG, from plain numbers: for the web page, and for whatever else shows figures
as HTML.

Nothing here knows of models, stores or requests, and no chart needs a script. Everything is drawn
in percent of the width and pixels of the height, so that a chart fits any width without its letters
growing or shrinking. Colours come from the classes of `drawing.css`, which whoever shows a chart
includes; no element has a `style`, so that `default-src 'self'` allows all of it. Whatever text
is given is escaped.
"""
