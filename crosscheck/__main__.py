"""``python -m crosscheck``: the command."""

from __future__ import annotations

import sys

from crosscheck.run.cli import main

if __name__ == "__main__":
    sys.exit(main())
