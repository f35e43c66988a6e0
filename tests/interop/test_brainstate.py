"""`eventops.brainstate` against the installed BrainState: its classes, states, units and transformations."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventops.bench.peers import foreign

try:
    brainstate, u = foreign.module("brainstate"), foreign.module("brainunit")
except (foreign.Absent, foreign.Unable) as error:
    pytest.skip(str(error), allow_module_level=True)

import eventops  # noqa: E402
import eventops.brainstate as nn  # noqa: E402


@pytest.fixture(autouse=True)
def _as_brainstate_expects():
    """Its own code relies on JAX's standard promotion, and its products on numba or, where that is not there, on JAX."""
    if importlib.util.find_spec("numba") is None:
        foreign.module("brainevent").config.set_backend("cpu", "jax_raw")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


LAYERS = {
    "EventLinear": lambda w: nn.EventLinear(40, 30, w),
    "EventFixedProb": lambda w: nn.EventFixedProb(40, 30, 0.2, w, seed=1),
    "FixedNumConn": lambda w: nn.FixedNumConn(40, 30, 4, w, seed=1),
    "EventFixedNumConn": lambda w: nn.EventFixedNumConn((40,), (30,), 4, w, "pre", seed=1),
}


@pytest.mark.parametrize("name", LAYERS)
def test_units_states_and_values(name):
    layer = LAYERS[name](0.6 * u.mS)
    assert isinstance(layer, brainstate.nn.Module)
    assert isinstance(layer.weight, brainstate.ParamState)
    assert set(layer.states(brainstate.ParamState).values()) == {layer.weight}
    spikes = jnp.arange(40) % 3 == 0
    out = layer(spikes)
    assert u.get_unit(out) == u.mS
    expected = np.asarray(spikes, float) @ np.asarray(layer.op.todense(), float)
    np.testing.assert_allclose(u.get_mantissa(out), expected, rtol=1e-6)
    # An initialiser of BrainState, and the result of plain numbers has no unit.
    drawn = LAYERS[name](brainstate.nn.init.Uniform(0.0, 1.0))
    assert len(np.unique(drawn.weight.value)) > 20
    assert isinstance(drawn(spikes), jax.Array)
    # The unit of the inputs is kept as well.
    assert u.get_unit(layer(jnp.ones(40) * u.mV)) == u.mS * u.mV


def test_the_values_are_those_of_brainstate():
    weight = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    spikes = jnp.arange(40) % 3 == 0
    theirs = brainstate.nn.EventLinear(40, 30, weight * u.mS)(spikes)
    ours = nn.EventLinear(40, 30, weight * u.mS)(spikes)
    np.testing.assert_allclose(ours / u.mS, theirs / u.mS, rtol=1e-5)
    assert u.get_unit(ours) == u.get_unit(theirs)
    # A real number counts as one event there, and here by default too.
    x = jnp.where(spikes, 2.5, 0.0)
    np.testing.assert_allclose(nn.EventLinear(40, 30, weight)(x), ours / u.mS, rtol=1e-5)
    counted = nn.EventLinear(40, 30, weight, float_as_event=False)(x)
    np.testing.assert_allclose(counted, 2.5 * (ours / u.mS), rtol=1e-4)


def test_weights_by_row_and_partner():
    weight = np.arange(80, dtype=np.float32).reshape(40, 2)
    layer = nn.EventFixedNumConn(40, 30, 2, weight * u.mS, seed=1)
    rows = layer.op.connections()
    dense = np.zeros((40, 30), np.float32)
    dense[np.repeat(np.arange(40), 2), rows.indices()] = weight.ravel()
    np.testing.assert_array_equal(layer.op.todense(), dense)


@pytest.mark.parametrize("n_in, n_out", [(30, 30), (40, 30), (30, 40)])
@pytest.mark.parametrize("target", ["post", "pre"])
@pytest.mark.parametrize("options", [{}, {"allow_multi_conn": True}], ids=["once", "repeats"])
def test_a_row_of_weights_is_for_the_neuron_whose_partners_are_counted(
    n_in, n_out, target, options
):
    """Also where the sizes are equal: row i, in the ascending order of the partners."""
    lines = n_in if target == "post" else n_out
    weight = np.arange(1, 4 * lines + 1, dtype=np.float32).reshape(lines, 4)
    options = dict(efferent_target=target, seed=1, **options)
    layer = nn.EventFixedNumConn(n_in, n_out, 4, weight * u.mS, **options)
    rows = layer.op.connections()
    ones = np.zeros((n_in, n_out), int)
    np.add.at(ones, (np.repeat(np.arange(n_in), np.diff(rows.indptr())), rows.indices()), 1)
    ones, dense = (ones, np.asarray(layer.op.todense())) if target == "post" else (
        ones.T, np.asarray(layer.op.todense()).T
    )  # fmt: skip
    for i in range(lines):
        partners = np.repeat(np.arange(ones.shape[1]), ones[i])
        expected = np.zeros(ones.shape[1], np.float32)
        np.add.at(expected, partners, weight[i])
        np.testing.assert_array_equal(dense[i], expected)
    # Initialisers are asked for that shape, and mean the same; so do a state, a list and the plain operator.
    asked = []

    def init(shape):
        asked.append(shape)
        return weight

    same = [
        nn.FixedNumConn(n_in, n_out, 4, init, **options).op,
        nn.FixedNumConn(n_in, n_out, 4, brainstate.ParamState(jnp.asarray(weight)), **options).op,
        nn.FixedNumConn(n_in, n_out, 4, weight.tolist(), **options).op,
        nn.FixedNumConn(n_in, n_out, 4, layer.op.weight, **options).op,
        eventops.FixedNumConn(n_in, n_out, 4, weight, **options),
        eventops.EventFixedNumConn(n_in, n_out, 4, 1.0, **options).with_weight(weight),
    ]
    assert asked == [(lines, 4)]
    for op in same:
        np.testing.assert_array_equal(op.weight, layer.op.weight)
    delays = eventops.Delayed(same[0], weight.astype(int)).delay
    np.testing.assert_array_equal(delays, layer.op.weight.astype(int))


ONES = np.ones((30, 40), np.float32)
MISPLACED = {
    "rows of the other side": lambda: nn.FixedNumConn(40, 30, 3, ONES[:, :4].T.reshape(40, 3), "pre"),
    "columns": lambda: nn.FixedNumConn(30, 30, 4, ONES[:4, :30]),
    "one row too few": lambda: nn.FixedNumConn(30, 30, 4, ONES[:29, :4]),
    "rows of unequal length": lambda: nn.FixedNumConn(
        30, 30, 4, ONES[:15, :4], afferent_ratio=0.5, seed=1
    ),
    "rows where their lengths are drawn": lambda: nn.EventFixedProb(
        30, 30, 0.2, np.ones((2, 90), np.float32), seed=1
    ),
    "a matrix of post by pre": lambda: nn.EventLinear(40, 30, ONES),
    "a vector for a matrix": lambda: nn.EventLinear(40, 30, ONES.ravel()),
    "an initialiser's": lambda: nn.EventLinear(40, 30, lambda shape: ONES),
    "the plain operator's": lambda: eventops.FixedNumConn(
        40, 30, 4, ONES[:, :4].T.reshape(40, 3), efferent_target="pre"
    ),
    "given later": lambda: eventops.FixedNumConn(30, 30, 4, 1.0).with_weight(ONES[:4, :30]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISPLACED)
def test_weights_of_another_shape_are_refused(name):
    with pytest.raises(ValueError, match="of shape .* does not fit.*use one number"):
        MISPLACED[name]()


def test_a_dense_matrix_is_pre_by_post_at_equal_sizes_too():
    weight = np.random.default_rng(0).normal(size=(30, 30)).astype(np.float32)
    x = jnp.arange(30.0)
    theirs = brainstate.nn.EventLinear(30, 30, weight, float_as_event=False)(x)
    ours = nn.EventLinear(30, 30, weight, float_as_event=False)(x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_one_number_in_an_array_is_one_number():
    one = nn.FixedNumConn(30, 30, 4, np.full(1, 0.5, np.float32) * u.mS)
    assert one.op.weight.ndim == 0 and u.get_unit(one(jnp.ones(30))) == u.mS


@pytest.mark.parametrize("storage", ["sparse", "procedural"])
def test_weights_of_a_law(storage):
    law, spikes = eventops.weights.Normal(1.0, 0.1), jnp.ones(30)
    layer = nn.FixedNumConn(30, 30, 4, law, storage=storage, seed=1)
    plain = eventops.FixedNumConn(30, 30, 4, law, storage=storage, seed=1)
    np.testing.assert_array_equal(layer(spikes), plain(spikes))


def test_gradients_jit_vmap_and_loops_of_brainstate():
    layer = nn.EventFixedNumConn(40, 30, 4, 0.5, seed=1)
    spikes = jnp.arange(40) % 3 == 0

    @brainstate.transform.jit
    def loss():
        return layer(spikes).sum()

    slope = brainstate.transform.grad(loss, layer.states(brainstate.ParamState))()
    assert float(next(iter(slope.values()))) == 4 * 14
    assert float(loss()) == 0.5 * 4 * 14
    layer.weight.value = jnp.float32(1.0)
    assert float(loss()) == 4 * 14
    many = brainstate.transform.for_loop(lambda s: layer(s), jnp.stack([spikes, ~spikes]))
    batch = brainstate.transform.vmap(layer)(jnp.stack([spikes, ~spikes]))
    np.testing.assert_array_equal(many, batch)


def test_a_module_made_inside_jit_as_in_the_example_of_brainevent():
    @brainstate.transform.jit
    def run():
        net = nn.EventFixedProb(100, 50, 0.2, 0.6 * u.mS, seed=3)
        brainstate.nn.init_all_states(net)
        return net(jnp.ones(100, bool)) / u.mS

    op = eventops.EventFixedProb(100, 50, 0.2, 0.6, seed=3)
    np.testing.assert_allclose(run(), op(jnp.ones(100, bool)), rtol=1e-6)


def test_without_a_seed_the_generator_of_numpy_decides():
    np.random.seed(5)
    one, two = (nn.EventFixedProb(50, 50, 0.2, 1.0) for _ in range(2))
    np.random.seed(5)
    again = nn.EventFixedProb(50, 50, 0.2, 1.0)
    assert (one.op.todense() == again.op.todense()).all()
    assert not (one.op.todense() == two.op.todense()).all()


def balanced(operator, n, seconds, strength):
    """The rate of a network in the form of brainevent's example COBA_2005: neurons and projections of BrainPy."""
    try:
        brainpy = foreign.module("brainpy")
    except (foreign.Absent, foreign.Unable) as error:
        pytest.skip(str(error))
    if not hasattr(brainpy, "state"):
        pytest.skip("this BrainPy has no brainpy.state")
    n_exc = n * 4 // 5

    class Net(brainstate.nn.Module):
        def __init__(self):
            super().__init__()
            self.neurons = brainpy.state.LIFRef(
                n,
                V_rest=-60 * u.mV,
                V_th=-50 * u.mV,
                V_reset=-60 * u.mV,
                tau=20 * u.ms,
                tau_ref=5 * u.ms,
                V_initializer=brainstate.nn.init.Normal(-55.0, 2.0, unit=u.mV),
                spk_reset="hard",
            )
            self.exc = self.projection(n_exc, strength * 0.6 * u.mS, 5 * u.ms, 0 * u.mV)
            self.inh = self.projection(n - n_exc, strength * 6.7 * u.mS, 10 * u.ms, -80 * u.mV)

        def projection(self, n_pre, weight, tau, reversal):
            return brainpy.state.AlignPostProj(
                comm=operator(n_pre, n, conn_num=80 / n, conn_weight=weight),
                syn=brainpy.state.Expon.desc(n, tau=tau),
                out=brainpy.state.COBA.desc(E=reversal),
                post=self.neurons,
            )

        def update(self, t):
            with brainstate.environ.context(t=t):
                spikes = self.neurons.get_spike() != 0.0
                self.exc(spikes[:n_exc])
                self.inh(spikes[n_exc:])
                self.neurons(20 * u.mA)
                return self.neurons.get_spike().mean()

    @brainstate.transform.jit
    def run():
        net = Net()
        brainstate.nn.init_all_states(net)
        with brainstate.environ.context(dt=0.1 * u.ms):
            times = u.math.arange(0 * u.ms, 1000 * seconds * u.ms, brainstate.environ.get_dt())
            return brainstate.transform.for_loop(net.update, times).sum() / seconds

    brainstate.random.seed(0)
    np.random.seed(0)
    return float(run())


def test_the_network_of_the_example_of_brainevent_fires_at_the_same_rate():
    # Synapses ten times those of the example, whose effect is small; without any it is 53 Hz.
    ours = balanced(nn.EventFixedProb, 500, 0.2, strength=10)
    theirs = balanced(brainstate.nn.EventFixedProb, 500, 0.2, strength=10)
    assert ours == pytest.approx(theirs, rel=0.03) and ours > 80
