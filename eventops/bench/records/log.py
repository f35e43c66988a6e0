"""Send everything that a script prints to its log file, and show what went wrong there as well."""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import os
import sys
import traceback
from pathlib import Path


def _tell(terminal: int, text: str) -> None:
    with contextlib.suppress(OSError):  # nobody may be there to read it any more
        os.write(terminal, (text + "\n").encode())


@contextlib.contextmanager
def to_file(path: str | os.PathLike):
    """Redirect standard output and error, of this process and of native code in it, to a file.

    An exception is written to the log with its traceback and then raised on, so that the rule fails.
    Yields a function that prints one line to the standard error of before, for a person who waits.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with open(path, "w", encoding="utf-8", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        ours = not faulthandler.is_enabled()
        if ours:
            faulthandler.enable(2)  # a crash in native code says where, too
        try:
            yield functools.partial(_tell, kept[1])
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            if ours:
                faulthandler.disable()
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            os.close(kept[0])
            os.close(kept[1])
