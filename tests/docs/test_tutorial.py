"""The calls of BrainState's tutorial, as written there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import assert_product

import eventops as nn

n_pre, n_post = 100, 80
weight = jax.random.normal(jax.random.key(0), (n_pre, n_post))

LAYERS = {
    "linear": lambda: nn.EventLinear(n_pre, n_post, weight=weight),
    "fixed probability": lambda: nn.EventFixedProb(n_pre, n_post, conn_num=0.2, conn_weight=0.5),
    "fixed number": lambda: nn.FixedNumConn(n_pre, n_post, conn_num=10, conn_weight=0.5),
}


@pytest.mark.parametrize("dtype", ["bool", "float32"])
@pytest.mark.parametrize("name", LAYERS)
def test_product_is_the_dense_one(name, dtype):
    layer = LAYERS[name]()
    spikes = (jax.random.uniform(jax.random.key(1), (n_pre,)) < 0.1).astype(dtype)
    current = layer(spikes)
    assert current.shape == (n_post,)
    assert_product(layer, spikes, current, np.float32)
    dense = layer.todense()
    assert dense.shape == (n_pre, n_post)
    expected = np.asarray(spikes, np.float64) @ np.asarray(dense, np.float64)
    np.testing.assert_allclose(np.asarray(current), expected, rtol=1e-5, atol=1e-5)


def test_connectivity():
    assert np.all(np.diff(LAYERS["fixed number"]().rows.indptr()) == 10)
    density = LAYERS["fixed probability"]().n_synapses / (n_pre * n_post)
    assert abs(density - 0.2) < 5 * np.sqrt(0.2 * 0.8 / (n_pre * n_post))


@pytest.mark.parametrize("name", LAYERS)
def test_a_model_of_several_layers(name):
    """A leaky integrator driven by the layer, as in the tutorial's networks."""
    layer = LAYERS[name]()
    spikes = jax.random.uniform(jax.random.key(2), (20, n_pre)) < 0.2

    @jax.jit
    def run(layer, spikes):
        def step(v, s):
            v = 0.9 * v + layer(s)
            return v, v > 1

        return jax.lax.scan(step, jnp.zeros(n_post), spikes)

    v, fired = run(layer, spikes)
    expected = np.zeros(n_post)
    for s in np.asarray(spikes, np.float64):
        expected = 0.9 * expected + s @ np.asarray(layer.todense(), np.float64)
    np.testing.assert_allclose(np.asarray(v), expected, rtol=1e-4, atol=1e-4)
    assert fired.shape == (20, n_post) and np.asarray(fired).any()
