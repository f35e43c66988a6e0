"""Exported programs of every family of kernels, allowed by the list that the package gives of them."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from support.cases import bits, native

import eventops as nn
from eventops.core import cuda, loader

LAW = nn.weights.Normal(0.5, 0.1)
NORMAL = jax.nn.initializers.normal(0.3)
S, G = jnp.asarray(np.arange(8) % 3, jnp.float32), jnp.asarray(np.arange(6) / 4, jnp.float32)
ROWS = nn.EventFixedNumConn(8, 6, 2, NORMAL, seed=1).with_columns()
DENSE = nn.EventLinear(8, 6, NORMAL)
DRAWN = nn.EventFixedProb(8, 6, 0.5, 0.5, storage="procedural")
GENERATED = nn.EventFixedTotalNum(8, 6, 20, LAW, storage="procedural")
NEAR = nn.EventDistanceProb(8, 6, nn.profiles.Gaussian(0.8, 4.0), 0.1, storage="procedural")
LATE = nn.Delayed(ROWS, np.arange(16) % 3)


def product(op, spikes):
    return op(spikes)


def gradients(op, spikes):
    def energy(weight, spikes):
        return jnp.sum(op.with_weight(weight)(spikes) ** 2)

    return jax.grad(energy, (0, 1))(op.weight, spikes)


def late(op, spikes):
    return jax.lax.scan(op.step, op.init_state(), jnp.stack([spikes] * 4))[1]


def late_gradients(op, spikes):
    def energy(weight, spikes):
        return jnp.sum(late(op.with_weight(weight), spikes) ** 2)

    return jax.grad(energy, (0, 1))(op.weight, spikes)


def learned(rule):
    def learn(op, spikes):
        weight = jnp.full(op._weight_shape(), 0.5)
        weight = op.update_on_pre(weight, spikes, G, low=0.0, high=1.0, rule=rule)
        return op.update_on_post(weight, G, spikes, low=0.0, high=1.0, rule=rule)

    return learn


def by_function(weight, change):
    return weight * (1 + change)


PROGRAMS = {
    "rows": (product, ROWS, "RowsForward"),
    "gradients of rows": (gradients, ROWS, "Rows(Spike|Weight)Cotangent"),
    "dense": (product, DENSE, "DenseForward"),
    "gradients of dense": (gradients, DENSE, "Dense(Spike|Weight)Cotangent"),
    "drawn": (product, DRAWN, "ProceduralForward"),
    "near": (product, NEAR, "ProceduralForward"),
    "gradients of drawn": (gradients, DRAWN, "Procedural(Spike|Weight)Cotangent"),
    "generated": (product, GENERATED, "GeneratedForward"),
    "gradients of generated": (gradients, GENERATED, "Generated(Spike|Weight)Cotangent"),
    "delays": (late, LATE, "DelayedStep"),
    "gradients of delays": (late_gradients, LATE, "Delayed(Spike|Weight)Cotangent|RingSwap"),
    "one delay": (late, nn.Delayed(DENSE, 2), "RingSwap"),
    "updates of rows": (learned("soft"), ROWS, "RowsUpdateOn(Pre|Post)"),
    "updates of dense": (learned("additive"), DENSE, "DenseUpdate"),
    "updates by a function": (learned(by_function), ROWS, "RowsTouchedOn(Pre|Post)|Replace"),
    "updates of dense by a function": (learned(by_function), DENSE, None),
}
SEVERAL = {
    "cpu": ("cpu",),
    "cpu, tpu": ("cpu", "tpu"),
    "cpu, cuda, rocm": ("cpu", "cuda", "rocm"),
}
pytestmark = [native, pytest.mark.unoptimized]


def names(checks) -> set[str]:
    return {check.is_custom_call() for check in checks}


@pytest.mark.parametrize("platforms", SEVERAL)
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_family(name, platforms):
    """One list allows all; where a platform has no kernel the program takes ``reference`` there."""
    f, op, _ = PROGRAMS[name]
    platforms = SEVERAL[platforms]
    export_ = export.export(jax.jit(f), disabled_checks=nn.export_checks(), platforms=platforms)
    if "generated" in name and "cuda" in platforms:
        with pytest.raises(NotImplementedError, match="the GPU generates no weights.*use"):
            export_(op, S)
        return
    program = export_(op, S)
    again = export.deserialize(program.serialize())
    assert again.platforms == platforms
    for got, due in zip(*(jax.tree.leaves(x) for x in (again.call(op, S), jax.jit(f)(op, S)))):
        assert bits(got) == bits(due)


@pytest.mark.parametrize("platform", ["tpu", "rocm"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_platforms_of_others(name, platform):
    """``reference`` alone: no kernel is named."""
    f, op, _ = PROGRAMS[name]
    program = export.export(jax.jit(f), platforms=[platform])(op, S)
    assert not re.search(r"custom_call @eventops", program.mlir_module())


@pytest.mark.parametrize("name", PROGRAMS)
def test_kernels_of_a_function(name):
    f, op, kernels = PROGRAMS[name]
    found = names(nn.export_checks(f, op, S, platforms=["cpu"]))
    assert found <= names(nn.export_checks())
    if kernels is None:
        assert not found
        return
    assert any(re.fullmatch(f"eventops_({kernels})", kernel) for kernel in found)
    checks = nn.export_checks(f, op, jax.ShapeDtypeStruct(S.shape, S.dtype), platforms=("cpu",))
    assert names(checks) == found
    export.export(jax.jit(f), disabled_checks=checks, platforms=["cpu"])(op, S)
    with pytest.raises(ValueError, match="custom call"):
        export.export(jax.jit(f), disabled_checks=checks[1:], platforms=["cpu"])(op, S)


def test_the_list_has_all_that_can_be_called():
    """Every handler that is registered, in both libraries."""
    found = names(nn.export_checks())
    assert {loader.target(name) for name in loader.HANDLERS} < found
    assert {cuda.target(name) for name in cuda.HANDLERS} < found
    assert len(found) == len(loader.HANDLERS) + len(cuda.HANDLERS)


@pytest.mark.parametrize("platforms", [("tpu",), ("cpu", "tpu"), ("cpu", "rocm")])
@pytest.mark.parametrize("name", ["rows", "dense", "drawn", "delays", "updates", "a function"])
def test_a_backend_that_is_named_runs_or_raises(name, platforms):
    op = nn.EventFixedNumConn(8, 6, 2, NORMAL, backend="cpu")
    f, op = {
        "rows": (product, op),
        "dense": (product, nn.EventLinear(8, 6, NORMAL, backend="cpu")),
        "drawn": (product, nn.EventFixedProb(8, 6, 0.5, 1.0, storage="procedural", backend="cpu")),
        "delays": (late, nn.Delayed(op, np.arange(16) % 3)),
        "updates": (learned("soft"), op.with_columns()),
        "a function": (learned(by_function), op.with_columns()),
    }[name]
    program = export.export(jax.jit(f), disabled_checks=nn.export_checks(), platforms=platforms)
    with pytest.raises(NotImplementedError, match="backend 'cpu'.*use backend=None or 'reference'"):
        program(op, S)
