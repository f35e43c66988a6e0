"""The newest known version of each peer and the Python that it needs: the one place that is to be kept up to date.

pip offers silently what the interpreter allows, so an older Python measures older peers. No registry is asked while the
suite runs; what is installed is compared with this table, and the report says what is newer.
"""

from __future__ import annotations

import re
import sys
from typing import NamedTuple


class Release(NamedTuple):
    """A version, and the lowest Python that it is made for."""

    version: str
    python: tuple[int, int]


NEWEST = {
    "jax": Release("0.12.0.1", (3, 12)),
    "scipy": Release("1.18.1", (3, 12)),
    "brainevent": Release("0.3.0", (3, 12)),
    "brainstate": Release("0.6.0", (3, 12)),
    "numba": Release("0.68.1", (3, 11)),
    "torch": Release("2.15.0", (3, 11)),
    "brian2": Release("2.11.0", (3, 13)),
    "nest": Release("3.10.0", (3, 11)),
}


def behind(name: str, version: str | None, python: str | None) -> str:
    """What there is beyond a version that was measured; empty where nothing newer is known.

    Parameters
    ----------
    name
        A package; one that the table lacks has nothing newer.
    version
        As installed; None where it was not.
    python
        The version of the interpreter that measured it.

    Examples
    --------
    >>> behind("brainevent", "0.2.1", "3.11.7")
    '0.3.0 is newer and needs Python 3.12, this was Python 3.11'
    >>> behind("brainevent", "0.2.1", "3.12.1")
    '0.3.0 is newer'
    >>> behind("brainevent", "0.3.0", "3.12.1")
    ''
    """
    known = NEWEST.get(name)
    if known is None or not version or _numbers(version) >= _numbers(known.version):
        return ""
    text = f"{known.version} is newer"
    here = _numbers(python or "")[:2]
    if here and here < known.python:
        text += " and needs Python {}.{}, this was Python {}.{}".format(*known.python, *here)
    return text


def told(versions: dict[str, str | None], python: str | None) -> str:
    """Versions in one line, each with what is newer.

    >>> told({"nest": "3.10.0", "brian2": "2.9.0", "numba": None}, "3.11.7")
    'nest 3.10.0, brian2 2.9.0 (2.11.0 is newer and needs Python 3.13, this was Python 3.11)'
    """
    found = []
    for name, version in versions.items():
        if version:
            note = behind(name, version, python)
            found.append(f"{name} {version} ({note})" if note else f"{name} {version}")
    return ", ".join(found)


def requirement(name: str, python: tuple[int, int] = sys.version_info[:2]) -> str:
    """What to ask pip for: the newest known version where the interpreter allows it, else the newest that it offers.

    >>> requirement("brian2", (3, 13)), requirement("brian2", (3, 11))
    ('brian2==2.11.0', 'brian2')
    """
    known = NEWEST[name]
    package = {"nest": "nest-simulator"}.get(name, name)
    return f"{package}=={known.version}" if python >= known.python else package


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with: ``2.13.0+cpu`` is 2, 13, 0."""
    return tuple(map(int, re.findall(r"\d+", re.match(r"[\d.]*", version).group())))
