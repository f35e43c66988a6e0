"""Code that is not ours, imported and called so that whatever it does becomes a reason and never a lost record.

A package may be absent, may break while it is imported (brainevent does where ``HOME`` cannot be written to), may raise
anything while it is built or timed, and may take the whole process along. The first three end as an exception of two
kinds, `Absent` and `Unable`. For the last one the name of what is at work lies in memory that outlives the process:
see `eventops.bench.peers.apart`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import mmap
import traceback
from collections.abc import Iterator

import jax


class Absent(Exception):
    """A package is not installed."""


class Unable(Exception):
    """It is installed and cannot do this."""


# What an import raised. It leaves half of a package behind, so that a second attempt would say something else.
_broken: dict[str, str] = {}
# Name to the way in which the process of an earlier attempt ended.
_lost: dict[str, str] = {}
# The name of what is at work, shared with the process that waits for this one.
_at_work = mmap.mmap(-1, 256)


def module(name: str, extra: str | None = None):
    """Import a package that is not ours.

    Parameters
    ----------
    name
        Of the module.
    extra
        The extra of eventops that brings it.

    Raises
    ------
    Absent, Unable
        With the reason, and how to get it.
    """
    if name in _broken:
        raise Unable(_broken[name])
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - an import may raise anything
        advice = f"pip install 'eventops[{extra}]'" if extra else f"pip install {name}"
        if _is_missing(name, error):
            raise Absent(f"{name} is not installed ({error}); {advice}") from error
        traceback.print_exc()
        _broken[name] = f"{name} is installed and cannot be imported ({reason(error)})"
        if isinstance(error, ImportError):
            _broken[name] += f"; {advice}"
        raise Unable(_broken[name]) from error


def _is_missing(name: str, error: BaseException) -> bool:
    """Whether the package itself was not found, rather than something that it needs."""
    top = name.partition(".")[0]
    return isinstance(error, ModuleNotFoundError) and error.name in (top, name)


def brainevent():
    """brainevent, with what it runs on: numba on the CPU, which an installation of it alone does not bring.

    Raises
    ------
    Absent, Unable
        With the reason.
    """
    found = module("brainevent", "peers")
    if jax.default_backend() == "cpu":
        try:
            module("numba", "peers")
        except (Absent, Unable) as error:
            raise type(error)(f"brainevent runs on numba here, and {error}") from error
    return found


@contextlib.contextmanager
def at_work(name: str) -> Iterator[None]:
    """Context for code that is not ours: what it raises leaves as `Unable`.

    Parameters
    ----------
    name
        Who is at work. One that has taken a process along before is not begun again.
    """
    if name in _lost:
        raise Unable(_lost[name])
    before = busy()
    _mark(name)
    try:
        yield
    except (Absent, Unable, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - that it breaks is a fact about it
        traceback.print_exc()
        raise Unable(reason(error)) from error
    finally:
        _mark(before)


def reason(error: BaseException) -> str:
    """An exception in one line of text, whatever it is.

    >>> reason(ValueError("no\\nmore")), reason(SystemExit())
    ('ValueError: no', 'SystemExit')
    """
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # noqa: BLE001 - it need not be able to say what it is
        lines = []
    return ": ".join([type(error).__name__, *lines[:1]])[:300]


def busy() -> str:
    """Who is at work, or was when the process ended; empty if it is our own code."""
    return bytes(_at_work).rstrip(b"\0").decode(errors="replace")


def lose(name: str, how: str) -> None:
    """Let `at_work` refuse a name from now on, because a process ended in its code.

    Parameters
    ----------
    name
        From `busy`.
    how
        The reason that is stated for it.
    """
    _lost[name] = how
    _mark("")


def _mark(name: str) -> None:
    text = name.encode()[: len(_at_work)]
    _at_work[:] = text + bytes(len(_at_work) - len(text))
