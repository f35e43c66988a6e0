"""A jitted function that closes over a large operator is told what that costs, once."""

import warnings

import jax
import jax.numpy as jnp
import pytest

import eventops as nn
from eventops.core import closure
from eventops.primitives import products

SPIKES = jnp.arange(40) % 3 == 0


@pytest.fixture(params=["sparse", "dense", "plain"])
def op(request, monkeypatch):
    """An operator that counts as large, in a process that has not been warned."""
    monkeypatch.setattr(products, "LARGE_CONSTANTS", 1000)
    closure.warn_once.cache_clear()
    normal = jax.nn.initializers.normal(1.0)
    yield {
        "sparse": lambda: nn.EventFixedNumConn(40, 100, 30, normal),
        "dense": lambda: nn.EventLinear(40, 100, normal),
        "plain": lambda: nn.Linear(40, 100, normal),
    }[request.param]()
    closure.warn_once.cache_clear()


def scan(op, spikes):
    return jax.lax.scan(lambda c, _: (c, op(c)), spikes, length=2)[1]


CLOSED = {
    "jit": lambda op: jax.jit(lambda s: op(s))(SPIKES),
    "jit of grad": lambda op: jax.jit(jax.grad(lambda s: op(s).sum()))(SPIKES.astype("float32")),
    "jit of vmap": lambda op: jax.jit(jax.vmap(lambda s: op(s)))(SPIKES[None]),
    "vmap of jit": lambda op: jax.vmap(jax.jit(lambda s: op(s)))(SPIKES[None]),
    "jit of scan": lambda op: jax.jit(lambda s: scan(op, s))(SPIKES),
}
NOT_CLOSED = {
    "call": lambda op: op(SPIKES),
    "argument": lambda op: jax.jit(lambda op, s: op(s))(op, SPIKES),
    "argument of scan": lambda op: jax.jit(scan)(op, SPIKES),
    "eager scan": lambda op: scan(op, SPIKES),
    "eager grad": lambda op: jax.grad(lambda s: op(s).sum())(SPIKES.astype("float32")),
    "eager vmap": lambda op: jax.vmap(lambda s: op(s))(SPIKES[None]),
    "eager jvp": lambda op: jax.jvp(op, *[(SPIKES.astype("float32"),)] * 2),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closing_over_a_large_operator_warns_once(op, name):
    with pytest.warns(UserWarning, match="^eventops: .*as an argument"):
        CLOSED[name](op)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CLOSED[name](op)


@pytest.mark.parametrize("name", NOT_CLOSED)
def test_nothing_is_said_where_nothing_is_copied(op, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NOT_CLOSED[name](op)


def test_not_with_the_setting_that_copies_nothing(op):
    jax.config.update("jax_use_simplified_jaxpr_constants", True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            CLOSED["jit"](op)
    finally:
        jax.config.update("jax_use_simplified_jaxpr_constants", False)


def test_small_operators_are_constants_like_any_other(op, monkeypatch):
    monkeypatch.setattr(products, "LARGE_CONSTANTS", op.nbytes + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CLOSED["jit"](op)
