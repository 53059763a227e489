"""Fixtures of the package's tests: the package, and a clean root to install it in."""

import pathlib
import sys

# Also where pytest is started from elsewhere.
TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "e2e"), str(TESTS)]
