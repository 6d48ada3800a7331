"""The command `rxecho`, also as `python -m rxecho`."""

import signal
import sys

# Ctrl+C while modules are still being imported ends the process as it ends any other, without a traceback. Where it
# is ignored, as in a shell's background, it stays so.
is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if is_usual:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from rxecho.cli import main  # noqa: E402

if is_usual:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if __name__ == "__main__":
    sys.exit(main())
