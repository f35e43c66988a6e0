"""In which dtypes is computed."""

import jax.numpy as jnp


def accumulator(dtype) -> jnp.dtype:
    """The dtype that products with weights of this dtype are summed in."""
    return jnp.dtype("float64" if dtype == jnp.float64 else "float32")
