"""What the demo's processes call things."""

from __future__ import annotations

from typing import Final

MODEL: Final = "tumour-screening"
SERVICE: Final = "screening"
HOSPITALS: Final = ("Northgate", "Riverside", "Southfield")
CHANGED: Final = "Riverside"
"""The hospital whose scanner starts to report centimetres."""
CLASSES: Final = ("benign", "malignant")
POSITIVE: Final = "malignant"
HOSPITAL_SLICE: Final = "slice.hospital"
"""The declared slice, as the API groups by it."""
