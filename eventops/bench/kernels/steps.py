"""What a step of a network needs beside its products: random input and neurons, each beside other ways to the same."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

import eventops as nn

NEURONS, STEPS = 77_169, 20  # as many as the cortical microcircuit has; steps of one scan
POTENTIALS = dict(v_rest=-65.0, v_reset=-65.0, v_threshold=-50.0, refractory=2.0, dt=0.1)


def drive() -> Iterator[tuple]:
    """What is compared, ours, the others by name, and the steps of a call: Poisson numbers added to a decaying current."""
    current = jnp.zeros(NEURONS)

    def by_key(draw):
        def step(carry):
            key, x = carry
            key, now = jax.random.split(key)
            return key, 0.5 * x + draw(now).astype(x.dtype)

        return _steps(step), [(jax.random.key(k), current) for k in range(2)]

    words = by_key(lambda key: jax.random.bits(key, (NEURONS,), jnp.uint32))
    groups = np.array_split(np.arange(NEURONS), 8)
    each = jnp.asarray(np.random.default_rng(0).uniform(0.1, 3, NEURONS), jnp.float32)
    means = {
        "mean 0.16": (NEURONS, 0.16),
        "mean 1.3": (NEURONS, 1.3),
        "mean 40": (NEURONS, 40.0),
        "eight groups of 0.4 to 2": (tuple(map(len, groups)), tuple(np.linspace(0.4, 2, 8))),
        "a mean for each, 0.1 to 3": (NEURONS, each),
    }
    for what, (size, mean) in means.items():
        source = nn.PoissonInput(size, mean, 0.5)
        ours = _steps(lambda c, source=source: source.step(c[0], into=0.5 * c[1]))
        states = [(jnp.array([0, k], jnp.uint32), current) for k in range(2)]
        law = jnp.broadcast_to(source.mean, (NEURONS,)).astype(jnp.float32)
        theirs = by_key(lambda key, law=law: jax.random.poisson(key, law))
        others = {"jax.random.bits": words, "jax.random.poisson": theirs}
        yield f"drive, {what}", (ours, states), others, STEPS


def neurons() -> Iterator[tuple]:
    """The same of neurons: the native step, and XLA's loop for the same equations."""
    for what, make in {
        "LIFDelta": lambda backend: nn.LIFDelta(10.0, backend=backend, **POTENTIALS),
        "LIFExp, one current": lambda backend: nn.LIFExp(10.0, 0.5, backend=backend, **POTENTIALS),
        "LIFCond, two conductances": lambda backend: nn.LIFCond(
            20.0, (5.0, 10.0), (0.0, -80.0), backend=backend, **POTENTIALS
        ),
    }.items():
        ours, reference = (_of_cells(make(backend)) for backend in (None, "reference"))
        yield f"neurons, {what}", ours, {"reference": reference}, STEPS


def _of_cells(cells):
    rng = np.random.default_rng(0)
    inputs = [
        jnp.asarray(rng.uniform(0, 0.1, NEURONS), jnp.float32)
        for _ in range(max(1, cells.n_channels))
    ]
    states = [cells.init_state(NEURONS, rng.uniform(-65, -50, NEURONS)) for _ in range(2)]
    return _steps(lambda state: cells.step(state, *inputs, drive=15.0)[0]), states


def _steps(step):
    """Many steps in one program; what they end in is all that leaves it."""
    return jax.jit(lambda carry: jax.lax.scan(lambda c, _: (step(c), None), carry, length=STEPS)[0])
