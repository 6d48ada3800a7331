"""The command `rxecho`, also as `python -m rxecho`."""

import signal
import sys

# Ctrl+C while modules are still being imported ends the process as it ends any other, without a traceback. Where it
# is ignored, as in a shell's background, it stays so.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from rxecho.cli import main

if __name__ == "__main__":
    sys.exit(main())
