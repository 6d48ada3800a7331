"""`python -m rxecho`: the command line."""

import sys

from rxecho.cli import main

if __name__ == "__main__":
    sys.exit(main())
