"""Threads, and what must not depend on them: several callers at once, and the number of threads."""

import os
import re
from pathlib import Path

import pytest
from support.cases import native, run_python

CALLERS = """
import faulthandler, threading
faulthandler.dump_traceback_later(100, exit=True)
import jax, jax.numpy as jnp, numpy as np
import eventops as nn

# The very first operators of the process, all at once.
first = []
gate = threading.Barrier(8)

def begin():
    gate.wait()
    first.append(nn.EventFixedProb(30, 20, 0.3, 0.5)(jnp.ones(30, bool)).tolist())

threads = [threading.Thread(target=begin, daemon=True) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join(60)
assert len(first) == 8 and all(f == first[0] for f in first), first

rng = np.random.default_rng(0)
ops = [
    nn.EventLinear(300, 3000, rng.normal(size=(300, 3000)).astype(np.float32)),
    nn.EventLinear(40, 30, 0.5),
    nn.EventFixedNumConn(500, 40_000, 500, 0.5),
    nn.EventFixedNumConn(300, 30_000, 900, rng.normal(size=270_000).astype(np.float32)),
    nn.EventFixedProb(1000, 1000, 0.3, 0.5, seed=1),
    nn.FixedNumConn(2000, 300, 40, 0.25, efferent_target="pre"),
    nn.EventFixedProb(30, 20, 0.3, 0.5),
    nn.EventLinear(128, 5000, rng.normal(size=(128, 5000)).astype(np.float16)),
]
spikes = [jnp.asarray(rng.random((4, op.in_size)) < 0.5) for op in ops]
pull = jax.jit(lambda op, s: jax.vjp(lambda w, s: op.with_weight(w)(s), op.weight, s)[1](
    jnp.ones((4, op.out_size), op.dtype)))

def answers(i):
    op, s = ops[i], spikes[i]
    return [np.asarray(x).tobytes() for x in (op(s), op(s[0]), *pull(op, s.astype(op.dtype)))]

expected = [answers(i) for i in range(len(ops))]
graphs = [op.rows.hash() if op.rows is not None else None for op in ops]
wrong = []
gate = threading.Barrier(8)

def work(thread):
    gate.wait()
    for turn in range(60):
        i = (thread + turn * (1 + thread % 3)) % len(ops)
        if answers(i) != expected[i]:
            wrong.append((thread, turn, i))
    # Graphs are drawn by several threads at once, too.
    if nn.EventFixedNumConn(500, 40_000, 500, 0.5).rows.hash() != graphs[2]:
        wrong.append((thread, "draw"))

threads = [threading.Thread(target=work, args=(t,), daemon=True) for t in range(8)]
for t in threads: t.start()
for t in threads: t.join(60)
assert not any(t.is_alive() for t in threads), "deadlock"
assert not wrong, wrong
print("same answers")
"""


@native
def test_callers_from_eight_threads():
    """Different operators on XLA's one pool at once: the same answers, and an end in bounded time."""
    done = run_python(CALLERS, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "same answers" in done.stdout


DIGEST = """
import os, hashlib
if os.environ.get("ONE_CORE"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, jax.numpy as jnp, numpy as np
import eventops as nn
from eventops.core import loader

rng = np.random.default_rng(0)
normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
call = lambda op, w, s: op.with_weight(w)(s)
ops = [nn.EventLinear(201, 3001, normal(201, 3001).astype(t)) for t in ("f4", "f2", jnp.bfloat16)]
ops += [
    nn.EventLinear(1000, 301, normal(1000, 301)),  # half of these inputs are summed in halves
    nn.EventFixedNumConn(300, 30_000, 900, normal(270_000)),
    nn.EventFixedNumConn(500, 40_000, 500, 0.3),
    nn.EventFixedProb(1000, 1001, 0.3, 0.7, seed=1),
    nn.FixedNumConn(2000, 20_001, 40, 0.3, efferent_target="pre"),
]
graphs, products = hashlib.sha256(), hashlib.sha256()
for op in ops:
    if op.rows is not None:
        graphs.update(op.rows.hash().encode())
    s = normal(19, op.in_size) * (rng.random((19, op.in_size)) < 0.5)
    s = jnp.asarray(s.astype(np.float32))
    out, pull = jax.vjp(lambda w, s: call(op, w, s), op.weight, s)
    ct = jnp.asarray(normal(*out.shape))
    one = jax.vjp(lambda w, s: call(op, w, s), op.weight, s[0])[1](ct[0])
    for x in (out, op(s[0]), op(s != 0), *pull(ct), *one):
        products.update(np.asarray(x).tobytes())
print("RESULT", loader.isa(), graphs.hexdigest(), products.hexdigest())
"""


def digest(**env) -> tuple[str, str, str]:
    """The instruction set, and what tells graphs and products (with their cotangents) apart."""
    done = run_python(DIGEST, timeout=120, **env)
    assert done.returncode == 0, done.stderr[-3000:]
    return re.search(r"RESULT (\S+) (\w+) (\w+)", done.stdout).groups()


@pytest.fixture(scope="module")
def usual():
    return digest()


@native
@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two cores and a way to use one of them",
)
def test_same_bits_with_one_thread(usual):
    """XLA makes as many threads as the process may use cores."""
    assert digest(ONE_CORE="1") == usual


def runs(isa: str) -> bool:
    listed = Path("/proc/cpuinfo")
    flags = listed.read_text() if listed.is_file() else ""
    needed = {
        "plain": (),
        "avx2": ("avx2",),
        "avx512": ("avx512f", "avx512bw", "avx512dq", "avx512vl"),
    }
    return all(re.search(rf"\b{flag}\b", flags) for flag in needed[isa])


@native
@pytest.mark.parametrize("isa", ["plain", "avx2", "avx512"])
def test_same_bits_on_every_instruction_set(usual, isa):
    """The same graphs; the same products where multiplications and additions are fused, which plain cannot."""
    if not runs(isa):
        pytest.skip(f"this processor has no {isa}")
    chosen, graphs, products = digest(EVENTOPS_ISA=isa)
    assert chosen == isa and graphs == usual[1]
    if "plain" in (isa, usual[0]):
        assert digest(EVENTOPS_ISA=isa) == (isa, graphs, products)
    else:
        assert products == usual[2]


AFFINITY = """
import os
import jax, jax.numpy as jnp, numpy as np
import eventops as nn

def masks():
    return {tid: os.sched_getaffinity(int(tid)) for tid in os.listdir("/proc/self/task")}

op = nn.EventFixedNumConn(4000, 40_000, 400, 0.5)
spikes = jnp.asarray(np.random.default_rng(0).random((200, 4000)) < 0.05)
call = jax.jit(lambda op, s: op(s))
call(op, spikes[0]).block_until_ready()
before = masks()
for s in spikes:
    call(op, s).block_until_ready()
jax.lax.scan(lambda c, s: (c + op(s), None), jnp.zeros(40_000), spikes)[0].block_until_ready()
after = masks()
assert all(after[tid] == mask for tid, mask in before.items() if tid in after)
assert set(map(frozenset, after.values())) == {frozenset(os.sched_getaffinity(0))}
print("same processors")
"""


@native
@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="this system keeps no processors of a thread"
)
def test_threads_keep_the_processors_that_they_may_use():
    """A helper that wakes on its caller's processor moves to another, and may use all of them afterwards."""
    done = run_python(AFFINITY, timeout=120)
    assert done.returncode == 0 and "same processors" in done.stdout, done.stderr[-3000:]
