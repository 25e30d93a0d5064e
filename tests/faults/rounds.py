"""How long the fault tests go on: `make test` is content with less than `make test-faults`."""

from __future__ import annotations

import os
from typing import Final

ROUNDS: Final = int(os.environ.get("FAULT_ROUNDS", "25"))
"""How often something is killed or tried anew."""
SEED: Final = int(os.environ.get("FAULT_SEED", "1"))
"""Another one gives other rounds."""
