"""Shared by all tests: no test may write into the project's own data, models or figures."""

import os
import tempfile
from pathlib import Path

# Set before fer_utils is imported: it reads its places once. The real data set keeps its place, if one is given.
_scratch = Path(tempfile.mkdtemp(prefix="fer-tests-"))
for _name in ("CACHE", "MODELS", "RUNS", "FIGURES", "EXECUTED"):
    os.environ[f"FER_{_name}"] = str(_scratch / _name.lower())
