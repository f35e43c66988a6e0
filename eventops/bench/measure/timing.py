"""Samples of several methods, taken in turn so that all of them meet the same state of the machine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eventops.bench.peers import foreign

MIN_SAMPLES = 3
MAX_REPEATS = 100_000
LONG_S = 0.02
"""Calls as long as this are timed without a lead-in: what it is for is a hundredth of them."""


@dataclass
class Method:
    """Something to time.

    Attributes
    ----------
    name
        ``eventops`` or the name of a peer.
    run
        ``run(argument)``: one call that has finished when it returns.
    arguments
        Rotated through, one for each call.
    divide
        Steps in one call; times are divided by it.
    samples
        ``[round, seconds per call]``, as measured.
    repeats
        Calls in one sample.
    expected_s
        Seconds of one call, roughly.
    ours
        Whether what it raises is a fault of ours, which goes on; of a peer it is a fact.
    broken
        Why a peer has no samples: what it raised.
    """

    name: str
    run: Callable[[Any], Any]
    arguments: list
    divide: int = 1
    samples: list = field(default_factory=list)
    repeats: int = 1
    expected_s: float = 0.0
    spent: float = 0.0
    slow: bool = False
    ours: bool = True
    broken: str = ""
    _next: int = 0

    def lead_in(self) -> None:
        """Calls that are not timed: as many as a sample has, at most one for each argument.

        The first calls after those of another method pay for threads that sleep and for caches that hold another matrix: a
        fifth of a millisecond, which is much where a sample is one. A sample is of the steady state.
        """
        if self.expected_s < LONG_S:
            n = len(self.arguments)
            for before in range(min(n, self.repeats), 0, -1):
                self.run(self.arguments[(self._next - before) % n])

    def sample(self) -> float:
        """Seconds per call over `repeats` calls."""
        n = len(self.arguments)
        run, arguments, at = self.run, self.arguments, self._next
        start = time.perf_counter()
        for i in range(at, at + self.repeats):
            run(arguments[i % n])
        elapsed = time.perf_counter() - start
        self._next = (at + self.repeats) % n
        self.spent += elapsed
        return elapsed / self.repeats


def warm(method: Method, settings: dict) -> None:
    """Warm a method up and choose how often a sample repeats its call.

    A method that takes longer than ``give_up_s`` for one call keeps that call as its only sample.
    """
    method.spent, method.repeats = 0.0, 1
    estimate = method.sample()
    if estimate > settings["give_up_s"]:
        method.slow = True
        method.samples.append([0, estimate / method.divide])
        return
    for _ in range(settings["warmup"] - 1):
        if method.spent > settings["budget_s"]:
            break
        estimate = min(estimate, method.sample())
    # The estimate of a call of microseconds is rough: repeat until the sample is long enough.
    while estimate * method.repeats < settings["min_sample_s"] and method.repeats < MAX_REPEATS:
        wanted = 1.2 * settings["min_sample_s"] / max(estimate, 1e-9)
        method.repeats = min(MAX_REPEATS, max(method.repeats + 1, round(wanted)))
        estimate = method.sample()
    method.spent, method.expected_s = 0.0, estimate


def interleave(methods: list[Method], settings: dict) -> None:
    """Warm all methods up, then take one sample of each per round until rounds or budget end.

    The order is drawn anew for every round, so that no method always follows the same one; each sample has a lead-in.
    A peer that raises takes no further part, and has no samples.
    """
    for method in methods:
        _turn(method, warm, settings)
    methods = [method for method in methods if not method.slow]
    order = random.Random(0)
    for turn in range(settings["rounds"]):
        for method in order.sample(methods, len(methods)):
            if len(method.samples) < MIN_SAMPLES or method.spent < settings["budget_s"]:
                _turn(method, _sampled, turn)


def _sampled(method: Method, turn: int) -> None:
    method.lead_in()
    method.samples.append([turn, method.sample() / method.divide])


def _turn(method: Method, act: Callable, argument) -> None:
    """Let a method act, unless it has broken; a peer that breaks says so."""
    if method.ours:
        act(method, argument)
    elif not method.broken:
        try:
            with foreign.at_work(method.name):
                act(method, argument)
        except (foreign.Absent, foreign.Unable) as error:
            method.broken, method.samples = str(error), []
