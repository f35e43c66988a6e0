"""Work in a process of its own, so that a peer whose native code crashes is a stated fact and not a lost record."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from eventops.bench.peers import foreign


def run(work: Callable[[], Any]) -> Any:
    """What ``work()`` returns, from a copy of this process; without a peer in whose code that one ended.

    Where a peer was at work as the process ended (see `eventops.bench.peers.foreign.at_work`), the work is begun again and that
    peer is refused with the reason. Where our own code was, this process ends as the other did.

    Parameters
    ----------
    work
        Must be the first to use JAX's devices, whose threads a copy of the process would not have. It returns what JSON
        can hold, as records do.

    Raises
    ------
    SystemExit
        Where ``work`` raised; the traceback has been printed.
    """
    if sys.platform != "linux":  # elsewhere system libraries forbid such copies
        return work()
    while True:
        data, status = _in_a_copy(work)
        if data:
            answer = json.loads(data)
            if "returned" not in answer:
                raise SystemExit(1)
            return answer["returned"]
        name, how = foreign.busy(), _how(status)
        if not name:
            _end_alike(status)
        text = f"its code ended the process ({how}), which was begun again without it"
        print(f"{name}: {text}", file=sys.stderr, flush=True)
        foreign.lose(name, text)


def _in_a_copy(work) -> tuple[str, int]:
    """What a copy of this process said in the end, and how it ended."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _end_with(parent)
        _answer(work, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as file:
        data = file.read()
    return data, os.waitpid(child, 0)[1]


def _answer(work, writing: int) -> None:
    """In the copy: work, say what came of it, and end without what a process does at its end, which is not its own."""
    try:
        data = json.dumps({"returned": work()})
    except BaseException:  # noqa: BLE001 - the process that waits ends by it
        traceback.print_exc()
        data = json.dumps({})
    with os.fdopen(writing, "w", encoding="utf-8") as file:
        file.write(data)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _end_with(parent: int) -> None:
    """Let the system end this process when the one that waits for it is killed: nobody would read the answer."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _end_alike(status: int) -> None:
    """End as the copy did, so that log and Snakemake tell of it as if there had been none."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code or 1)
