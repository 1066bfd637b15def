"""What was measured, and the programs that measured it; ``docs/benchmarks.md`` says which is which.

Run them from the clone's root: ``python -m benchmarks.training.run``. They use networks and data of ``examples/``,
whose scripts import each other by their bare names.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "examples"))
