"""Kernels that are broken on purpose, by a little: each must be caught by `verify`.

Nightly, the C++ itself is broken: one build of the library holds every mutant, and a variable of the environment
chooses. Always, the same faults are put around a right operator.
"""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bench.verify.test_verify import Wrong, plain_promotion  # noqa: F401 - a fixture that serves itself
from support.bench_jobs import job
from support.cases import run_python

from eventops.bench.sweep import setup
from eventops.bench.verify import verify

ROOT = pathlib.Path(__file__).resolve().parents[2]
JOB = dict(operator="EventFixedNumConn", weights=["per-synapse"], rates=["1"])


def last(op) -> tuple[int, int]:
    """Pre and post of the last synapse."""
    return int(np.flatnonzero(np.diff(op.rows.indptr()))[-1]), int(op.rows.indices()[-1])


def drops_the_last_synapse(op, spikes):
    pre, post = last(op)
    return op(spikes).at[..., post].add(-op.weight[-1] * spikes[..., pre].astype(op.dtype))


def adds_the_last_twice(op, spikes):
    pre, post = last(op)
    return op(spikes).at[..., post].add(op.weight[-1] * spikes[..., pre].astype(op.dtype))


def swaps_two_weights(op, spikes):
    order = np.arange(op.n_synapses)
    order[[0, 1]] = 1, 0
    return op.with_weight(op.weight[order])(spikes)


def reads_a_stale_buffer(op, spikes):
    before = op(jnp.arange(op.in_size) == 1)
    return op(spikes) + before


FAULTS = (drops_the_last_synapse, adds_the_last_twice, swaps_two_weights, reads_a_stale_buffer)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_small_fault_is_caught(fault, monkeypatch):
    """The graph, the matrix and the statistics are right; the products alone are not."""
    graph = setup.operator(job(**JOB))

    def call(op, spikes):  # what is known of the graph is known when the program is made
        object.__setattr__(op, "rows", graph.rows)
        return fault(op, spikes)

    described = job(**JOB)
    result = verify.run(described, make=lambda j, b=None: Wrong(setup.operator(j, b), call))
    failed = {check["check"] for check in result["checks"] if not check["passed"]}
    assert result["status"] == "failed" and "product" in failed, result["reason"]
    # The wrapper is no operator, so it cannot be delayed; that is the last check and the only one that raises.
    raised = [
        c["note"] for c in result["checks"] if c["check"] == "no-exception" and not c["passed"]
    ]
    assert all("Delayed" in note for note in raised), raised


# ---- the C++ itself

# In rows_forward.cc: what stands there, and what a mutant makes of it.
MUTATIONS = (
    (  # 1: drops the last synapse; 2: adds the first one twice
        "    const int64_t n = segment.end - segment.begin;\n    if (kHomogeneous) {",
        "    const int64_t n = segment.end - segment.begin - (Mutant() == 1 && segment.end == rows.n_synapses);\n"
        "    if (Mutant() == 2 && segment.begin == 0 && n > 0) {\n"
        "      out[std::min(offset[0], last)] += events[e].value * Load(kHomogeneous ? weight : weight + segment.begin);\n"
        "    }\n"
        "    if (kHomogeneous) {",
    ),
    (  # 3: swaps the first two weights
        "return value * Load(w + k);",
        "return value * Load(w + (Mutant() == 3 && segment.begin == 0 && n > 1 && k < 2 ? 1 - k : k));",
    ),
    (  # 4: does not clear the buffer that the call before has used
        "  std::fill(out, out + width, A(0));\n  for (int64_t e = 0;",
        "  if (Mutant() != 4 || !kStaged) std::fill(out, out + width, A(0));\n  for (int64_t e = 0;",
    ),
    (
        "namespace eventops {\nnamespace {\n",
        "#include <cstdlib>\nnamespace eventops {\nnamespace {\n"
        'int Mutant() { return std::atoi(std::getenv("EVENTOPS_MUTANT")); }\n',
    ),
)
VERIFY = """
import json, sys
sys.path.insert(0, {tests!r})
from support.bench_jobs import job
from eventops.bench.verify import verify
from eventops.core import loader
assert loader.unavailable() is None, loader.unavailable()
found = verify.run(job("EventFixedNumConn", weights=["per-synapse"], rates=["0.1", "1"], backends=["cpu"]))
print("RESULT", found["status"], found["reason"])
"""


@pytest.fixture(scope="module")
def mutants(tmp_path_factory):
    """The library for the plain instruction set, with every mutant in it."""
    folder = tmp_path_factory.mktemp("mutants")
    csrc = ROOT / "eventops/csrc"
    sources = [p for p in csrc.rglob("*.cc") if "avx" not in p.name]
    assert len(sources) > 20
    text = (csrc / "cpu/rows_forward.cc").read_text()
    for old, new in MUTATIONS:
        assert text.count(old) == 1, (
            f"rows_forward.cc has changed: {old!r} is there {text.count(old)} times"
        )
        text = text.replace(old, new)
    (folder / "rows_forward.cc").write_text(text)
    objects = []
    for source in sources:
        source = folder / source.name if source.name == "rows_forward.cc" else source
        objects.append(folder / f"{len(objects)}.o")
        command = ["g++", "-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off"]
        command += [
            "-isystem",
            jax.ffi.include_dir(),
            "-I",
            str(ROOT / "eventops/csrc"),
            "-c",
            str(source),
        ]
        subprocess.run([*command, "-o", str(objects[-1])], check=True)
    library = folder / "mutants.so"
    subprocess.run(
        ["g++", "-shared", "-o", str(library), *map(str, objects), "-ldl", "-lpthread"], check=True
    )
    return library


@pytest.mark.nightly
@pytest.mark.parametrize("mutant", range(5))
def test_a_broken_kernel_is_caught(mutants, mutant):
    """Mutant 0 is the kernel as it is, which shows that it is the mutation that fails."""
    code = VERIFY.format(tests=os.path.dirname(os.path.dirname(__file__)))
    done = run_python(code, EVENTOPS_NATIVE=str(mutants), EVENTOPS_MUTANT=str(mutant), timeout=600)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT")] or [
        done.stderr
    ]
    assert line.startswith("RESULT failed" if mutant else "RESULT ok"), line
    assert sys.executable and ("product" in line or not mutant)
