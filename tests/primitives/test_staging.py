"""What JAX makes of an operator before it runs, and operators that leave the process."""

import concurrent.futures
import copy
import io
import multiprocessing
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from support.cases import WEIGHTS, bits, case, native, normal, run_python, weight_shape

import eventops as nn
from eventops.graphs.profiles import Gaussian

N_IN, N_OUT = 9, 7
KINDS = (
    case("Linear", N_IN, N_OUT),
    case("EventLinear", N_IN, N_OUT),
    case("EventFixedProb", N_IN, N_OUT, 0.5, seed=2),
    case("FixedNumConn", N_IN, N_OUT, 3, efferent_target="pre", afferent_ratio=0.6),
    case("EventFixedNumConn", N_IN, N_OUT, 9, allow_multi_conn=True, seed=2**62 + 1),
    case("EventSparse", N_IN, N_OUT, 40, duplicates="keep"),
    case("EventFixedTotalNum", N_IN, N_OUT, 20, seed=4),
    case("EventDistanceProb", N_IN, N_OUT, Gaussian(0.7, 2.0), periodic=True),
)
every = pytest.mark.parametrize(
    "case, weight", [(c, w) for c in KINDS for w in WEIGHTS], ids=lambda x: getattr(x, "id", x)
)
SPIKES = jnp.arange(2 * N_IN).reshape(2, N_IN) % 3 == 0


def apply(op, spikes):
    return op(spikes)


def digest(op) -> tuple:
    """What must survive any journey: the class, sizes, the graph, the weights and the product, bit for bit.

    Of the repr what follows the weight: the seed and parameters before it are not known where JAX has made other arrays.
    """
    graph = None if op.rows is None else op.rows.hash()
    shown = repr(op).partition("weight=")[2]
    kind = type(op).__name__, op.in_size, op.out_size
    return *kind, shown, graph, bits(op.weight), bits(op(SPIKES))


# ---- programs


@every
def test_one_trace_per_shape(case, weight):
    """Other weights and other spikes of the same shapes neither trace nor compile again."""
    op, traces = case.make(weight), []

    @jax.jit
    def f(op, spikes):
        traces.append(1)
        return op(spikes)

    for other in (op, op.with_weight(2 * op.weight), case.make(weight), copy.deepcopy(op)):
        for spikes in (SPIKES, ~SPIKES):
            f(other, spikes)
    assert len(traces) == f._cache_size() == 1
    f(op, SPIKES[0])
    f(op, SPIKES.astype(jnp.float32))
    assert len(traces) == f._cache_size() == 3


@every
def test_the_program_is_readable(case, weight):
    """One line says what is computed; nothing runs to find the shape out."""
    op = case.make(weight)
    out = jax.eval_shape(apply, op, jax.ShapeDtypeStruct((4, N_IN), bool))
    assert out.shape == (4, N_OUT) and out.dtype == op.dtype
    text = re.sub(r"\s+", " ", str(jax.make_jaxpr(apply)(op, SPIKES)))
    text = text.replace("[ ", "[").replace(" ]", "]")
    if case.kind == "Linear":
        assert "eventops" not in text
        return
    kind, tile = ("rows", N_OUT) if op.rows is not None else ("dense", 0)
    kind = "uniform" if kind == "dense" and weight == "scalar" else kind
    params = f"backend=None dtype=float32 kind={kind} law=None shape=(9, 7) tile={tile}"
    line = f"= eventops_forward[{params}]"
    assert text.count(line) == text.count("eventops") == 1, text


@native
@every
def test_one_kernel_however_mapped(case, weight):
    """A mapped product is one batched kernel call and never a loop; so are its cotangents."""
    op = case.make(weight)
    if case.kind == "Linear" or (case.conn is None and weight == "scalar"):
        pytest.skip("one dot, or one sum for all outputs: no kernel is called")
    stem = "eventops_Dense" if op.rows is None else "eventops_Rows"
    weights = jnp.asarray(normal((4, *weight_shape(case)) if weight == "per-synapse" else (4,)))
    spikes = jnp.ones((3, 4, N_IN), bool)
    mapped = jax.vmap(lambda w, x: op.with_weight(w)(x))

    def calls(f, *args):
        text = jax.jit(f).lower(*args).as_text()
        assert "stablehlo.while" not in text
        return sorted(line.split("@")[1].split("(")[0] for line in text.split("custom_call")[1:])

    for f, *args in (
        (op, spikes[0, 0]),
        (op, spikes),
        (jax.vmap(op), spikes[0]),
        (jax.vmap(jax.vmap(op)), spikes),
        (jax.vmap(op, in_axes=1, out_axes=1), jnp.ones((N_IN, 4), bool)),
        (mapped, weights, spikes[0]),
        (jax.vmap(mapped, (None, 0)), weights, spikes),
    ):
        assert calls(f, *args) == [f"{stem}Forward"]

    def pull(w, x, ct):
        return jax.vjp(lambda w, x: op.with_weight(w)(x), w, x)[1](ct)

    args = (weights[0], jnp.ones((4, N_IN)), jnp.ones((4, N_OUT)))
    both = [f"{stem}SpikeCotangent", f"{stem}WeightCotangent"]
    assert calls(jax.vmap(pull, (None, 0, 0)), *args) == both
    assert calls(pull, *args) == both


@every
def test_donated_operator(case, weight):
    """The weights' buffer is reused by the new operator; the graph goes through unchanged."""
    op = case.make(weight)
    expected = digest(op.with_weight(op.weight + 1))

    @jax.jit
    def plain(op):
        return op.with_weight(op.weight + 1)

    given = jax.tree.map(jnp.copy, op)
    new = jax.jit(plain, donate_argnums=0)(given)
    assert digest(new) == digest(plain(op)) == expected
    assert given.weight.is_deleted()
    with pytest.raises((RuntimeError, ValueError), match="deleted|donated"):
        given(SPIKES)


@every
def test_cleared_caches(case, weight):
    op = case.make(weight)
    before = digest(op)
    jax.clear_caches()
    assert digest(op) == before == digest(case.make(weight))


def test_without_jit():
    """The operators can be stepped through: nothing needs jit."""
    op = KINDS[4].make("per-synapse")

    def run(w):
        total, outs = jax.lax.scan(
            lambda v, x: (v + op.with_weight(w)(x), v), jnp.zeros(N_OUT), SPIKES
        )
        return jnp.sum(total**2), outs

    (value, outs), g = jax.value_and_grad(run, has_aux=True)(op.weight)
    with jax.disable_jit():
        (again, again_outs), again_g = jax.value_and_grad(run, has_aux=True)(op.weight)
        assert digest(KINDS[4].make("per-synapse")) == digest(op)
    assert bits(again_outs) == bits(outs)
    for a, b in ((again, value), (again_g, g)):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5)


@every
def test_operators_pass_through_transformations(case, weight):
    """An operator is an argument, a constant, a carry, an xs, and the thing that is differentiated."""
    op = case.make(weight)
    spikes = SPIKES.astype(jnp.float32)
    product = np.asarray(op(spikes))

    carried, outs = jax.lax.scan(lambda o, x: (o, o(x)), op, spikes)
    assert digest(carried) == digest(op)
    stacked = jax.tree.map(lambda a: jnp.stack([a] * 3), op)
    each = jax.lax.scan(lambda c, o: (c, o(spikes)), None, stacked)[1]
    built = jax.jit(lambda w, x: case.make(w)(x))(op.weight, spikes)
    chosen = jax.lax.cond(True, lambda o: o, lambda o: o.with_weight(2 * o.weight), op)
    for same in (
        jax.jit(apply)(op, spikes),
        jax.vmap(apply, (None, 0))(op, spikes),
        jax.checkpoint(apply)(op, spikes),
        outs,
        each[2],
        built,
        chosen(spikes),
    ):
        # XLA's dot of the plain Linear may group its sums by the batch; ours never do.
        if case.kind == "Linear":
            np.testing.assert_allclose(np.asarray(same), product, rtol=1e-5)
        else:
            assert bits(same) == bits(product)
    g = jax.grad(lambda o: jnp.sum(o(spikes)), allow_int=True)(op)
    exact = jax.grad(lambda w: jnp.sum(op.with_weight(w)(spikes)))(op.weight)
    assert type(g) is type(op) and bits(g.weight) == bits(exact)
    assert all(a.dtype == jax.dtypes.float0 for a in jax.tree.leaves(g.rows))


# ---- copies


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda op: pickle.loads(pickle.dumps(op)),
    "tree.map": lambda op: jax.tree.map(jnp.copy, op),
    "unflatten": lambda op: jax.tree.unflatten(jax.tree.structure(op), jax.tree.leaves(op)),
    "jit": jax.jit(lambda op: op),
    "device_put": lambda op: jax.device_put(op, jax.devices()[0]),
    "numpy": lambda op: jax.tree.map(jnp.asarray, jax.tree.map(np.asarray, op)),
}


@pytest.mark.parametrize("name", COPIES)
@every
def test_copies(case, weight, name):
    op = case.make(weight)
    other = COPIES[name](op)
    assert digest(other) == digest(op)
    assert jax.tree.structure(other) == jax.tree.structure(op)
    for attribute in ("weight", "in_size"):
        with pytest.raises(AttributeError, match="is immutable: cannot set"):
            setattr(other, attribute, 1)
    with pytest.raises(AttributeError, match="is immutable: cannot delete"):
        del other.weight


def paths(tree) -> list[str]:
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]


@every
def test_leaves_have_names_and_are_all_there_is(case, weight, tmp_path):
    """numpy.savez of the leaves, by their paths, restores the model."""
    model = {"exc": case.make(weight), "tau": jnp.float32(10)}
    rows = [] if model["exc"].rows is None else ["['exc'].rows.ptr", "['exc'].rows.offsets"]
    assert paths(model) == ["['exc'].weight", *rows, "['tau']"]
    file = tmp_path / "model.npz"
    np.savez(file, **dict(zip(paths(model), jax.tree.leaves(model))))
    with np.load(file, allow_pickle=False) as saved:
        leaves = [jnp.asarray(saved[path]) for path in paths(model)]
    again = jax.tree.unflatten(jax.tree.structure(model), leaves)
    assert digest(again["exc"]) == digest(model["exc"])
    # The weights alone are enough where the operator can be made again.
    small = io.BytesIO()
    np.save(small, model["exc"].weight)
    small.seek(0)
    assert digest(case.make(0.0).with_weight(np.load(small))) == digest(model["exc"])


# ---- exported programs

READER = """
import sys
import numpy as np
from jax import export
import eventops
answers = {}
for name in sys.argv[1:]:
    with np.load(name + ".npz") as given:
        args = [given[f"arr_{i}"] for i in range(len(given.files))]
    program = export.deserialize(open(name, "rb").read())
    outs = program.call(*args)
    for i, out in enumerate(outs if isinstance(outs, (tuple, list)) else [outs]):
        np.save(f"{name}.{i}.npy", out)
"""


def allowed(*products):
    """The kernels' names, which a program may be serialized with."""
    names = [f"eventops_{s}{p}" for s in ("Rows", "Dense") for p in products or ("Forward",)]
    return [export.DisabledSafetyCheck.custom_call(name) for name in names]


@every
def test_exported_programs_run_in_a_process_without_operators(case, weight, tmp_path, monkeypatch):
    """Closed over, with gradients, with any batch size: importing eventops is all the reader needs."""
    op = case.make(weight)
    values = jnp.asarray(normal((2, N_IN)))

    def pull(w, x):
        return jax.grad(lambda w, x: jnp.sum(op.with_weight(w)(x) ** 2), (0, 1))(w, x)

    kernels = allowed("Forward", "SpikeCotangent", "WeightCotangent")
    batch = jax.ShapeDtypeStruct(export.symbolic_shape("b, 9"), bool)
    programs = {
        "closed": (op, (SPIKES,), (SPIKES,)),
        "gradient": (pull, (op.weight, values), (op.weight, values)),
        "any_batch": (op, (batch,), (SPIKES,)),
    }
    expected = {}
    for name, (f, avals, args) in programs.items():
        program = export.export(jax.jit(f), disabled_checks=kernels)(*avals)
        (tmp_path / name).write_bytes(program.serialize())
        np.savez(tmp_path / f"{name}.npz", *args)
        expected[name] = jax.tree.leaves(jax.jit(f)(*args))
    code = f"import sys, os; os.chdir({str(tmp_path)!r}); sys.argv[1:] = {list(programs)}" + READER
    done = run_python(code)
    assert done.returncode == 0, done.stderr[-3000:]
    for name, outs in expected.items():
        for i, out in enumerate(outs):
            assert bits(np.load(tmp_path / f"{name}.{i}.npy")) == bits(out), name


@every
def test_operators_are_arguments_of_exported_programs(case, weight):
    """Their structure is serialized with the program, and other operators of the same kind fit in."""
    op = case.make(weight)
    kernels = allowed("Forward", "SpikeCotangent", "WeightCotangent")
    program = export.export(
        jax.jit(lambda op, x: (op, op(x))), disabled_checks=kernels, platforms=["cpu"]
    )(op, SPIKES.astype(jnp.float32))
    again = export.deserialize(program.serialize(vjp_order=1))
    assert again.in_tree == program.in_tree
    for other in (op, op.with_weight(2 * op.weight)):
        back, out = again.call(other, SPIKES.astype(jnp.float32))
        assert digest(back) == digest(other) and bits(out) == bits(other(SPIKES))
    g = jax.grad(lambda o: jnp.sum(again.call(o, SPIKES.astype(jnp.float32))[1]), allow_int=True)
    exact = jax.grad(lambda w: jnp.sum(op.with_weight(w)(SPIKES)))(op.weight)
    assert bits(g(op).weight) == bits(exact)


@pytest.mark.parametrize("kind", ["EventFixedProb", "EventFixedTotalNum", "EventDistanceProb"])
def test_graphs_that_are_drawn_on_every_call_are_exported(kind):
    """The graph itself, probabilities by distance included, is in the file as numbers."""
    op = next(c for c in KINDS if c.kind == kind).make("scalar", storage="procedural")
    program = export.export(
        jax.jit(apply),
        disabled_checks=[export.DisabledSafetyCheck.custom_call("eventops_ProceduralForward")],
        platforms=["cpu"],
    )(op, SPIKES)
    again = export.deserialize(program.serialize())
    assert again.in_tree == program.in_tree
    assert bits(again.call(op, SPIKES)) == bits(op(SPIKES))


def test_a_step_with_delays_is_exported():
    """State and operator are arguments and results."""
    op = KINDS[4].make("per-synapse")
    late = nn.Delayed(op, np.arange(op.n_synapses, dtype=np.int32) % 4)
    spikes = SPIKES.astype(jnp.float32)
    kernels = [export.DisabledSafetyCheck.custom_call("eventops_DelayedStep")]
    state = late.init_state((2,))
    step = jax.jit(lambda late, ring, position, s: tuple(late.step((ring, position), s)[0]))
    program = export.export(step, disabled_checks=kernels, platforms=["cpu"])(late, *state, spikes)
    again = export.deserialize(program.serialize())
    for got, due in zip(again.call(late, *state, spikes), step(late, *state, spikes)):
        assert bits(got) == bits(due)


@native
def test_an_export_that_does_not_allow_the_kernel_says_so():
    with pytest.raises(ValueError, match="custom call.*eventops_RowsForward|compatib"):
        export.export(jax.jit(KINDS[4].make()))(SPIKES)


# ---- other processes


def test_spawned_processes_give_the_same_bits():
    """An operator is pickled to a fresh process, and its product comes back."""
    ops = [case.make("per-synapse") for case in KINDS]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        assert list(pool.map(digest, ops, timeout=120)) == [digest(op) for op in ops]


FORK = """
import os, signal, sys, time, warnings
import jax, jax.numpy as jnp, numpy as np
import eventops as nn
warnings.simplefilter("ignore")  # JAX warns of every fork

def new():  # as many synapses as several threads share
    op = nn.EventFixedNumConn(1000, 40_000, 500, 0.5, seed=1)
    return op, np.asarray(op(jnp.arange(1000) % 3 == 0)).tobytes() + op.rows.hash().encode()

def in_child(work, seconds):
    # The child's answer, or nothing if it did not come in time.
    read, write = os.pipe()
    if os.fork() == 0:
        signal.alarm(seconds)
        with os.fdopen(write, "wb") as pipe:
            pipe.write(work())
        os._exit(0)
    os.close(write)
    return os.fdopen(read, "rb")

first = in_child(lambda: new()[1], 60).read()  # no computation has been made by the parent
op, expected = new()
spikes = jnp.arange(1000) % 3 == 0
matrix = jnp.ones((300, 300))
ours = jax.jit(lambda op, s: op(s))
plain = jax.jit(lambda m: m @ m)
fresh = jax.jit(lambda m: m @ m + m)
answer = np.asarray(ours(op, spikes)).tobytes()
plain(matrix).block_until_ready()
works = {
    "ours": lambda: np.asarray(ours(op, spikes)).tobytes(),
    "plain": lambda: np.asarray(plain(matrix)).tobytes(),
    "new ours": lambda: new()[1],
    "new plain": lambda: np.asarray(fresh(matrix)).tobytes(),
}
pipes = {name: in_child(work, 8) for name, work in works.items()}
answers = {name: pipe.read() for name, pipe in pipes.items()}
print("before", first == expected)
print("after", answers["ours"] == answer)
print("new", answers["new ours"] == expected or answers["new plain"] == b"")
print({name: bool(a) for name, a in answers.items()})
"""


@native
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="cannot fork")
def test_forked_processes():
    """JAX does not support fork, and mostly hangs after it; ours does no worse, and its kernels end.

    A child has none of the threads of XLA's pool. A kernel that waited for one of them would hang; the
    caller must do all the work. What JAX has to compile in the child is up to JAX.
    """
    done = run_python(FORK, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    found = dict(line.split() for line in done.stdout.splitlines()[:3])
    assert found == {"before": "True", "after": "True", "new": "True"}, done.stdout
