"""A simulator as a process that runs one segment whenever it is told to, so that several take turns.

Each file beside this one builds the same network in one simulator and calls :func:`serve`. They run in the
environment of that simulator, so nothing but numpy is imported here, and `eventops` by its own file alone.

The job comes as JSON in the first argument: model, n, dt_ms, warmup_steps, segment_steps, watch (so many neurons have
their spikes kept), seed, threads, out (an .npz file for the spikes). Every answer is one line of JSON on the last
stream that the process was started with as standard output.
"""

import json
import os
import platform
import resource
import sys
import time

import numpy as np


class Skip(Exception):
    """The simulator cannot do this network; says why."""


def serve(make) -> None:
    """Build, warm up, then run a segment for every line ``run`` on standard input; at its end write the spikes.

    Parameters
    ----------
    make : callable
        ``make(job)`` gives an object with ``run(n_steps)``, which returns for each spike of the watched neurons its
        step, counted from the start of the segment, and its neuron, and leaves in ``n_spikes`` how many spikes all
        neurons fired. Its ``summary()``, if it has one, gives more facts
        for the record in the end. ``make`` raises :class:`Skip` where the simulator cannot do the network.
    """
    job = json.loads(sys.argv[1])
    answers = os.fdopen(job["answers"], "w")
    start = time.perf_counter()
    try:
        simulator = make(job)
    except Skip as reason:
        _say(answers, skipped=str(reason))
        return
    built = time.perf_counter()
    simulator.run(job["warmup_steps"])
    warm = time.perf_counter()
    _say(
        answers,
        build_s=built - start,
        warmup_s=warm - built,
        versions=getattr(simulator, "versions", {}) | {"python": platform.python_version()},
    )
    segments, steps, neurons = [], [], []
    for line in sys.stdin:
        if line.strip() != "run":
            break
        start = time.perf_counter()
        step, neuron = simulator.run(job["segment_steps"])
        # A simulator that measures itself more narrowly (without starting a program, say) is believed.
        seconds = getattr(simulator, "seconds", None) or time.perf_counter() - start
        segments.append(np.full(len(step), len(segments), np.int32))
        steps.append(np.asarray(step, np.int32))
        neurons.append(np.asarray(neuron, np.int32))
        _say(answers, seconds=seconds, spikes=int(simulator.n_spikes))
    names = ("segment", "step", "neuron")
    kept = (np.concatenate(x) for x in (segments, steps, neurons))
    np.savez_compressed(job["out"], **dict(zip(names, kept)))
    summary = getattr(simulator, "summary", dict)()
    peak = max(_peak_rss(), getattr(simulator, "peak_rss_bytes", 0))
    _say(answers, peak_rss_bytes=peak, **summary)


def _peak_rss() -> int:
    """Of this process. (``ru_maxrss`` starts with what the process that started this one had.)"""
    try:
        with open("/proc/self/status") as facts:
            return next(1024 * int(line.split()[1]) for line in facts if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _say(stream, **what) -> None:
    stream.write(json.dumps(what) + "\n")
    stream.flush()
