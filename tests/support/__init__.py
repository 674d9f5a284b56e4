"""What the tests are made of and is no test itself: tables of cases, right implementations, planted faults, plugins."""

from pathlib import Path

SUPPORT = Path(__file__).parent
ROOT = SUPPORT.parents[1]
