"""Jobs whose connections depend on distance: the space of a job, its profile, and how many synapses to expect."""

from __future__ import annotations

import math
from typing import Any

from eventops.graphs import lattice, profiles

SPACES = ("line", "ring", "grid", "torus")
DEFAULTS = {"space": "torus", "profile": "gaussian", "length": "0.05"}
PROFILES = {
    "gaussian": profiles.Gaussian,
    "exponential": profiles.Exponential,
    "box": profiles.Box,
}


def is_plane(space: str) -> bool:
    """Whether neurons lie in a square and not on a line."""
    return space in ("grid", "torus")


def shape(space: str, n: int):
    """``n`` neurons as an operator takes them: a number, or the rows and columns of a square.

    Raises
    ------
    ValueError
        If they do not fill a square.
    """
    if not is_plane(space):
        return n
    side = math.isqrt(n)
    if side * side != n:
        raise ValueError(f"{n} neurons are no square {space}; use {side**2} or {(side + 1) ** 2}")
    return side, side


def profile(job: dict[str, Any]):
    """The probability by distance; the side of the space is 1."""
    return PROFILES[job["profile"]](float(job["conn"]), float(job["length"]))


def lattice_of(job: dict[str, Any]) -> lattice.Lattice:
    """The probability of every pair."""
    pre, post = (shape(job["space"], job[name]) for name in ("n_pre", "n_post"))
    around = job["space"] in ("ring", "torus")
    if is_plane(job["space"]):
        axes = tuple(lattice.Axis(a, b, around) for a, b in zip(pre, post))
    else:
        axes = lattice.Axis(1, 1, False), lattice.Axis(pre, post, around)
    return lattice.make("config", axes, (1.0, 1.0), profile(job))


def expected_synapses(job: dict[str, Any]) -> float:
    """The mean number of synapses."""
    return lattice.mean_number(lattice_of(job), job["allow_self_conn"])


def twin(job: dict[str, Any], size: int) -> dict[str, Any]:
    """The sizes of a twin with at most ``size`` neurons a side: the space and its profile shrink together."""
    side = math.isqrt(size) if is_plane(job["space"]) else size
    power = 2 if is_plane(job["space"]) else 1
    n_pre, n_post = (min(round(job[name] ** (1 / power)), side) for name in ("n_pre", "n_post"))
    if n_pre == n_post and job["allow_self_conn"]:
        n_post = max(1, n_post // 2)
    return {"n_pre": n_pre**power, "n_post": n_post**power}
