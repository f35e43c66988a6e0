"""Every refusal: the message names the call, the value and the fix, and comes before any work."""

import pathlib
import re
import time

import jax
import numpy as np
import pytest
from support.cases import run_python
from support.error_cases import ACCEPTED, ALL, LINEAR, NUM, OP, PROB, TOO_MANY, TOTAL, page

import eventops as nn
from eventops import backends
from eventops.core import loader, memory


@pytest.mark.parametrize(
    "call, error, fragments",
    [pytest.param(*p.values, id=f"{kind}: {p.id}") for kind, table in ALL.items() for p in table],
)
def test_refused(call, error, fragments):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    names = r"(Event)?(Linear|FixedProb|FixedNumConn|FixedTotalNum|DistanceProb|Sparse)|Delayed|Poisson(Input|Spikes)|(profiles|weights)\.\w+"
    assert re.match(rf"({names})\b", message), message
    for fragment in fragments:
        assert fragment in message, f"{fragment!r} is not in {message!r}"


@pytest.mark.parametrize("call, error, fragments", TOO_MANY)
def test_too_many_synapses(call, error, fragments):
    """Refused at once, by the name of the operator and with its sizes: no draw has begun."""
    start = time.perf_counter()
    with pytest.raises(error) as caught:
        call()
    assert time.perf_counter() - start < 1
    message = str(caught.value)
    for fragment in fragments:
        assert fragment in message, message
    assert re.match(r"(Event)?(Linear|Fixed(Prob|NumConn|TotalNum)|DistanceProb)\b", message), (
        message
    )


def test_dense_weights_that_cannot_be_numbered():
    """A matrix of 2**62 weights is refused before an initialiser is asked for it (in its own process)."""
    done = run_python(
        """
import jax, resource
import eventops as nn
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
try:
    nn.EventLinear(2**31 - 1, 2**31 - 1, jax.nn.initializers.ones)
except (ValueError, MemoryError) as error:
    print("refused:", error)
"""
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"refused: EventLinear.*2147483647", done.stdout), done.stdout


def test_a_matrix_that_the_process_may_not_have():
    """Refused by the limit of the process, where XLA would abort it; a smaller one and a traced one are made."""
    done = run_python(
        """
import jax, resource
import eventops as nn
op = nn.EventFixedNumConn(20_000, 20_000, 1, 1.0)
resource.setrlimit(resource.RLIMIT_AS, (int(open("/proc/self/statm").read().split()[0]) * 4096 + (1 << 30),) * 2)
try:
    print(op.todense())
except MemoryError as error:
    print("refused:", error)
print(op[:100].todense().shape, jax.eval_shape(op.todense).shape, jax.eval_shape(nn.Delayed(op, 2).todense).shape)
"""
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "refused: EventFixedNumConn.todense" in done.stdout, done.stdout
    assert "(100, 20000) (20000, 20000) (3, 20000, 20000)" in done.stdout, done.stdout


def test_memory_of_a_control_group(monkeypatch, tmp_path):
    """Limits of control groups count, those of the groups around too."""
    (tmp_path / "job/step").mkdir(parents=True)
    (tmp_path / "job/memory.max").write_text("5000000000\n")
    (tmp_path / "job/step/memory.max").write_text("max\n")
    read = {"/proc/self/cgroup": "2:cpu:/\n0::/job/step\n", "/proc/self/statm": "1 0 0"}
    path = type(tmp_path)
    original = path.read_text
    monkeypatch.setattr(path, "read_text", lambda p: read.get(str(p)) or original(p))
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    assert list(memory._of_group()) == [5_000_000_000]


def test_large_but_homogeneous_is_no_error():
    """One stored number serves any population."""
    op = LINEAR(2**31 - 1, 2**20, 0.5)
    assert op.nbytes == 4 and op.n_synapses == (2**31 - 1) * 2**20


def test_backend_cpu_elsewhere(monkeypatch):
    """A backend that cannot run says why, and is not replaced."""
    monkeypatch.setattr(loader, "unavailable", lambda: "it was not built; build it")
    with pytest.raises(
        RuntimeError, match="EventLinear: backend 'cpu' cannot run here: .*build it"
    ):
        LINEAR(2, 2, 1.0, backend="cpu")
    assert backends.available()["cpu"] == "it was not built; build it"


def test_numbers_that_are_accepted():
    """What looks like the refused values and is not."""
    assert PROB(9, 9, 1, 1.0).n_synapses == 81 and PROB(9, 9, 0, 1.0).n_synapses == 0
    assert PROB(np.int32(9), np.int64(9), np.float32(1), 1.0).n_synapses == 81
    assert NUM(100, 100, 0.29, 1.0).graph.conn_num == 29
    assert NUM(100, 100, 0.125, 1.0).graph.conn_num == 13  # rounded to nearest, halves up
    assert NUM(4, 50, 1.0, 1.0).graph.conn_num == 50
    assert NUM(40, 30, 0.0, 1.0).n_synapses == NUM(40, 30, 0, 1.0).n_synapses == 0
    assert NUM(40, 30, 0.02, 1.0).graph.conn_num == 1 and TOTAL(0, 3, 0.5, 1.0).n_synapses == 0
    assert NUM(30, 50, 0.5, 1.0, efferent_target="pre").graph.conn_num == 15
    assert NUM(10, 9, 5, 1.0, efferent_target="pre", afferent_ratio=0.5).n_synapses == 45
    assert NUM(5, 5, 4, 1.0, allow_self_conn=False).n_synapses == 20
    assert NUM(3, 2, 7, 1.0, allow_multi_conn=True).n_synapses == 21
    assert NUM(np.uint8(5), 5, np.int16(2), 1.0, seed=np.uint64(2**63 - 1)).n_synapses == 10
    assert OP([1, 0, 1, 0]).shape == (6,) and OP([True] * 4).shape == (6,)


@pytest.mark.parametrize("big", [2**40, np.int64(2**40), np.uint64(2**63), np.int64(-(2**62))])
def test_whole_weights_keep_their_value(big):
    """JAX without x64 would take the last 32 bits of an integer of NumPy's."""
    law = nn.weights.Normal(big, 1)
    given = [
        LINEAR(1, 1, big),
        LINEAR(1, 1, [[big]]),
        nn.EventSparse(([0], [0], big), shape=(1, 1)),
    ]
    given += [LINEAR(1, 1, 1.0).with_weight(np.array(big)), NUM(1, 1, 1, law, storage="procedural")]
    for op in given:
        assert op.dtype == np.float32 and np.ravel(op.weight)[0] == np.float32(big)
    assert LINEAR(1, 1, big, dtype="float16").weight == np.float16(np.sign(big) * np.inf)


def test_whole_spikes_that_fit():
    """A wide dtype alone is no error, and neither are elements that are JAX's own, traced or not."""
    spikes = np.array([2**31 - 1, 0, 0, -(2**31)])
    expected = np.asarray(OP(spikes.astype(np.float32)))
    for same in (spikes, spikes.tolist(), spikes.astype(np.int32), [*map(np.int64, spikes)]):
        np.testing.assert_array_equal(OP(same), expected)
    assert OP(np.zeros((0, 4), np.uint64)).shape == (0, 6)
    traced = jax.jit(lambda x: OP([x, 0, 0, 1.0]))(2.0)
    np.testing.assert_array_equal(traced, OP([2.0, 0, 0, 1.0]))


@pytest.mark.parametrize("call, _, expected", ACCEPTED)
def test_accepted(call, _, expected):
    """Numbers that are no numbers, and numbers that hardly are: each has a meaning."""
    np.testing.assert_array_equal(np.asarray(call()), [expected[0]])


def test_the_page_of_errors_is_up_to_date():
    found = pathlib.Path(__file__).parents[2] / "docs/errors.md"
    assert found.read_text() == page(), "run python tests/support/error_cases.py"
