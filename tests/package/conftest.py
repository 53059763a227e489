"""Fixtures of the package's tests: the package, and a clean root to install it in."""

import pathlib
import sys

# Also where pytest is started from elsewhere.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
