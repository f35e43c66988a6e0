"""The example models do what their papers say, in a shorter run."""

import importlib.util
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eventops

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _as_users_have_it():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def shares(weight):
    """Of weights near the lower bound, in the middle, and near the upper one."""
    return np.histogram(weight, [0, 0.2, 0.8, 1])[0] / weight.size


def test_stdp_makes_weights_bimodal():
    """From one value in the middle to the two bounds, with little left between; the neuron's rate comes down.

    It gave 449 152 108 46 32 32 30 37 31 83 synapses in ten equal intervals.
    """
    stdp = example("stdp")
    assert shares(stdp.network().weight).tolist() == [0, 1, 0]
    weight, rates = stdp.run(stdp.network(), 20.0, 250, 1.5 * stdp.A_PLUS)
    low, middle, high = shares(weight)
    assert low > 0.4 and high > 0.06 and middle < 0.4, (low, middle, high)
    histogram = np.histogram(weight, 10, (0, 1))[0]
    assert min(histogram[0], histogram[-1]) > 1.5 * histogram[3:7].mean(), histogram
    assert rates[-20:].mean() < rates[0] / 3


def test_reward_run():
    """Bounds hold, synapses that nothing marked keep their weights, and without dopamine nothing changes much."""
    reward = example("reward")
    excitatory, inhibitory = reward.network()
    target = int(excitatory.rows.row(0)[0])
    weight, course, mean, rates = reward.run(excitatory, inhibitory, target, 3)
    assert (
        weight.shape == excitatory.weight.shape
        and course.shape == mean.shape == rates.shape == (3,)
    )
    assert jnp.all((weight >= 0) & (weight <= reward.LARGEST)) and 0.3 < rates.mean() < 20
    assert 0 < jnp.mean(weight == excitatory.weight) < 0.9
    assert float(jnp.max(jnp.abs(weight - excitatory.weight))) < 0.5


def test_figures(tmp_path, monkeypatch, capsys):
    pytest.importorskip("seaborn")
    for name, figure in (("stdp", "a.svg"), ("reward", "b.png")):
        monkeypatch.setattr(
            sys, "argv", [name, "--seconds", "1", "--figure", str(tmp_path / figure)]
        )
        example(name).main()
        assert (tmp_path / figure).stat().st_size > 1000
        assert "1 s simulated" in capsys.readouterr().out


def test_digits_has_the_gradients_of_its_dense_twin():
    pytest.importorskip("sklearn")
    digits = example("digits")
    (pixels, label), _ = digits.images()
    model = digits.network()
    dense, masks = digits.twin(model)
    found = []
    for one in (model, dense):
        weights, merge = eventops.split(one)
        slope = jax.jit(jax.value_and_grad(digits.loss))
        found.append(slope(weights, merge, pixels[:32], label[:32], jax.random.key(0)))
    (value, event), (expected, twin) = found
    assert float(value) == pytest.approx(float(expected), rel=1e-5) and value > 1
    for name, op in model.items():
        weights = op.with_weight(event[f"{name}.weight"]).todense()
        other = np.asarray(twin[f"{name}.weight"] * masks[f"{name}.weight"])
        assert np.abs(other).max() > 1e-4
        np.testing.assert_allclose(weights, other, rtol=1e-3, atol=1e-5 * np.abs(other).max())
    # Without the mask the twin would grow the connections that the sparse layer has not.
    assert masks["second.weight"].mean() == 0.125
    assert jnp.any(jnp.where(masks["second.weight"] == 0, twin["second.weight"], 0))


def test_digits_learns_as_its_dense_twin_does():
    """In 3 of the 30 epochs; it gave 93.9 % for both."""
    pytest.importorskip("sklearn")
    pair = example("digits").compare(0, epochs=3)
    event, dense = pair["event"]["accuracy"], pair["dense"]["accuracy"]
    assert event > 0.88 and dense > 0.88 and abs(event - dense) < 0.03, pair
    assert 0.02 < min(pair["event"]["active"]) < max(pair["event"]["active"]) < 0.4
