"""`python -m innerloop.report [--check]`: write the tables of README and docs, or see whether they are up to date."""

import argparse
import sys
from pathlib import Path

from innerloop.report._tables import update_pages

parser = argparse.ArgumentParser(prog="python -m innerloop.report", description=__doc__)
parser.add_argument("--check", action="store_true", help="change nothing; fail if a table is out of date")
parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: here)")
arguments = parser.parse_args()
stale = update_pages(arguments.root, write=not arguments.check)
for path in stale:
    print(f"{path}: {'out of date; run `make table`' if arguments.check else 'updated'}")
sys.exit(1 if stale and arguments.check else 0)
