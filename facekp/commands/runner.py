"""How every command ends: its exit status, and what stands on stderr."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Callable

from facekp.errors import UserError


def run(main: Callable[[], object], name: str | None = None) -> None:
    """Run a command's `main` and leave with the promised exit status.

    Status 0: done. 2: what the user can fix, one line on stderr, no traceback. 130: stopped by Ctrl-C. Any other
    exception is our own fault and keeps its traceback (status 1).

    Args:
        main: The command.
        name: What messages begin with; the program's name if None.
    """
    # Paddle warns about its own code on every run; stderr is for what the user can fix.
    warnings.filterwarnings("ignore", module="paddle")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # read when OpenCV is imported: it tells of every camera it tries
    try:
        main()
    except UserError as error:
        print(f"{name or Path(sys.argv[0]).name}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
