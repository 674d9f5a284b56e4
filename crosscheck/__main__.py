"""``python -m crosscheck``: the command."""

import sys

from crosscheck.run.cli import main

if __name__ == "__main__":
    sys.exit(main())
