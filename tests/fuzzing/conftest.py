"""The modules of this folder are imported by their names, as in the benchmark of the same calls."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
