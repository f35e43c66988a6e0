"""Whole networks, timed beside the same networks in other simulators.

Every simulator is a process that runs one segment when it is told to (`simulators/serve.py`), and they take turns, so
that ratios survive a noisy machine. Speeds are compared only where the spikes agree: the record holds rate, irregularity
and correlation of each.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

from ..peers import foreign
from . import environments, spiketrains

OURS = "eventops"
# Simulator to script and threads (None: all cores).
SIMULATORS = {
    OURS: ("simulate_eventops.py", None),
    "brainstate": ("simulate_brainstate.py", None),
    "brian2": ("simulate_brian2.py", 1),
    "brian2-openmp": ("simulate_brian2.py", None),
    "nest": ("simulate_nest.py", None),
}
DT_MS = 0.1
WATCH = 1000
# Rates that differ by more than this share are of networks that do not do the same.
MATCHED = 0.1
_FOLDER = Path(__file__).parent / "simulators"


def jobs(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Expand the section ``networks`` of a validated configuration: job id to job."""
    result = {}
    for block in config.get("networks", []):
        for n in block["sizes"]:
            job = {
                "model": block["model"],
                "n": n,
                "simulators": list(block["simulators"]),
                "warmup_ms": block["warmup_ms"],
                "segment_ms": block["segment_ms"],
                "rounds": block["rounds"],
                "seed": config["seed"],
            }
            text = json.dumps(job, sort_keys=True)
            digest = hashlib.sha256(text.encode()).hexdigest()[:8]
            name = f"{job['model']}-{n}-{digest}"
            result.setdefault(name, {"id": name, **job})
    return result


def _environment(simulator: str) -> str:
    return simulator.removesuffix("-openmp")


def available(job: dict[str, Any]) -> dict[str, str | None]:
    """Simulator to its interpreter, or to None where it was not installed."""
    return {name: environments.python_of(_environment(name)) for name in job["simulators"]}


class _Process:
    """One simulator: started, told to run, asked for its spikes."""

    def __init__(self, name: str, python: str, job: dict[str, Any], folder: Path):
        script, threads = SIMULATORS[name]
        self.spikes = folder / f"{name}.npz"
        self.errors = open(folder / f"{name}.log", "w+", encoding="utf-8", errors="replace")
        threads = threads or os.cpu_count()
        order = {
            "model": job["model"],
            "n": job["n"],
            "dt_ms": DT_MS,
            "warmup_steps": round(job["warmup_ms"] / DT_MS),
            "segment_steps": round(job["segment_ms"] / DT_MS),
            "watch": min(WATCH, job["n"]),
            "seed": job["seed"],
            "threads": threads,
            "out": str(self.spikes),
        }
        # Threads that wait must not take the cores from the one whose turn it is.
        env = {**os.environ, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(threads)}
        answers, far_end = os.pipe()
        self.answers = os.fdopen(answers)
        try:
            self.process = subprocess.Popen(
                [python, str(_FOLDER / script), json.dumps(order | {"answers": far_end})],
                stdin=subprocess.PIPE,
                stdout=self.errors,
                stderr=self.errors,
                text=True,
                env=env,
                pass_fds=(far_end,),
            )
        finally:
            os.close(far_end)

    def answer(self, limit_s: float) -> dict[str, Any]:
        """The next answer; raises RuntimeError with the last words of a simulator that has none."""
        late = threading.Timer(limit_s, self.process.kill)
        late.start()
        line = self.answers.readline()
        late.cancel()
        if line:
            try:
                return dict(json.loads(line))
            except (ValueError, TypeError):
                raise RuntimeError(f"its answer was {line.strip()[:200]!r}") from None
        self.process.wait()
        self.errors.seek(0)
        last = [text.strip() for text in self.errors.read().splitlines() if text.strip()][-1:]
        raise RuntimeError("".join(last)[:300] or f"ended with {self.process.returncode}")

    def tell(self, word: str) -> None:
        try:
            self.process.stdin.write(word + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, and its answer will say how

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(
            OSError
        ):  # what was told to one that had ended is still to be sent
            self.process.stdin.close()
        self.answers.close()
        self.errors.close()


def run(
    job: dict[str, Any], pythons: dict[str, str | None], limit_s: float = 1800
) -> dict[str, Any]:
    """Time a network in every simulator that is there.

    Parameters
    ----------
    job : dict
        Of :func:`jobs`.
    pythons : dict
        From :func:`available`.
    limit_s : float
        Seconds after which a simulator that has not answered is stopped, and fails.

    Returns
    -------
    dict
        The content of the record: ``simulators`` maps a name to its status (``ok``, ``skipped``, ``failed``), reason,
        seconds per step of each round, build time, peak memory, versions, and statistics of its spikes.
    """
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        running: dict[str, _Process] = {}
        try:
            for name in job["simulators"]:
                found[name] = {"status": "ok", "reason": "", "step_s": []}
                if pythons[name] is None:
                    reason = environments.absent(_environment(name))
                    found[name] |= {"status": "skipped", "reason": reason}
                else:
                    # One after the other: a build takes all cores and much memory.
                    with _or_out(running, name, found):
                        running[name] = _Process(name, pythons[name], job, Path(folder))
                        _ask(running, name, found, limit_s)
            for _ in range(job["rounds"]):
                for name in list(running):
                    with _or_out(running, name, found):
                        _segment(running, name, found, job, limit_s)
            for name in list(running):
                with _or_out(running, name, found):
                    _end(running, name, found, job, limit_s)
        finally:
            for process in running.values():
                process.close()
    return {"job": job, "simulators": found}


def broken(result: dict[str, Any]) -> str:
    """How our own simulation ended without a result; empty where it did not. The workflow tries it again.

    One of the others that ends so is a row that says it.
    """
    ours = result["simulators"].get(OURS, {})
    return ours["reason"] if ours.get("broke") else ""


@contextlib.contextmanager
def _or_out(running, name, found):
    """A simulator that breaks, in whatever way, is a row that says how, and takes no further part."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        reason = str(error) if type(error) is RuntimeError else foreign.reason(error)
        found[name] |= {"status": "failed", "reason": reason, "broke": True}
        if name in running:
            running.pop(name).close()


def _segment(running, name, found, job, limit_s) -> None:
    """One round of one simulator."""
    running[name].tell("run")
    answer = _ask(running, name, found, limit_s)
    if answer is not None:
        steps = round(job["segment_ms"] / DT_MS)
        found[name]["step_s"].append(answer["seconds"] / steps)
        found[name]["spikes"] = found[name].get("spikes", 0) + answer["spikes"]


def _end(running, name, found, job, limit_s) -> None:
    """The spikes of one simulator, after its last round."""
    running[name].tell("end")
    if _ask(running, name, found, limit_s) is None:
        return
    seconds = job["rounds"] * job["segment_ms"] / 1000
    # Of all neurons: in a thousand of them the mean rate differs by some percent from graph to graph.
    rate = found[name]["spikes"] / (job["n"] * seconds)
    watched = _statistics(running[name].spikes, job)
    found[name] |= watched | {"rate_hz": rate}
    if reason := miscounted(rate, watched["rate_hz"]):
        found[name] |= {"status": "failed", "reason": reason}


def miscounted(rate: float, watched: float) -> str:
    """Why a simulator's count of all spikes cannot be right beside those that it wrote down; empty where it can."""
    if abs(rate - watched) < 1 or max(rate, watched) < 2 * min(rate, watched):
        return ""
    return f"it counts {rate:.3g} Hz, but the neurons that are watched fire at {watched:.3g} Hz"


def _ask(running, name, found, limit_s) -> dict[str, Any] | None:
    """An answer, noted; a simulator that declines takes no further part."""
    answer = running[name].answer(limit_s)
    if "skipped" in answer:
        found[name] |= {"status": "skipped", "reason": answer["skipped"]}
        running.pop(name).close()
        return None
    found[name] |= {key: value for key, value in answer.items() if key not in ("seconds", "spikes")}
    return answer


def _statistics(path: Path, job: dict[str, Any]) -> dict[str, float]:
    with np.load(path, allow_pickle=False) as spikes:
        segment, step, neuron = spikes["segment"], spikes["step"], spikes["neuron"]
    n, steps = min(WATCH, job["n"]), round(job["segment_ms"] / DT_MS)
    found = spiketrains.summary(segment, step, neuron, n, job["rounds"], steps, DT_MS)
    # For the raster: the first half second of a hundred neurons.
    every = max(1, n // 100)
    shown = (segment == 0) & (neuron % every == 0) & (step < 5000)
    return {**found, "raster": [step[shown].tolist(), (neuron[shown] // every).tolist()]}
