"""Make data/mnist: the first 1,000 training and 1,000 test images and labels of the full set, as standard IDX .gz files.

The same input gives the same bytes: the gzip headers contain no time and no name. Example::

    python scripts/make_subset.py ~/.cache/nn-crosscheck/mnist
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

from digits.files import FILES, SHIPPED, DataError, check

COUNT = 1_000


def main() -> None:
    """Read the full set from the folder named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").replace("::\n", ":\n"), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("full", type=Path, help="folder with the four files of the full set")
    full: Path = parser.parse_args().full
    try:
        for file in FILES:
            check(full / file.name, file)
    except DataError as error:
        parser.error(str(error))
    SHIPPED.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        with gzip.open(full / file.name, "rb") as stream:
            header = bytearray(stream.read(file.header))
            size = 1
            for axis in file.item:
                size *= axis
            content = stream.read(COUNT * size)
        header[4:8] = COUNT.to_bytes(4, "big")
        (SHIPPED / file.name).write_bytes(gzip.compress(bytes(header) + content, compresslevel=9, mtime=0))


if __name__ == "__main__":
    main()
