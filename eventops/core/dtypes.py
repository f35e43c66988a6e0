"""In which dtypes is computed."""

import jax.numpy as jnp
import numpy as np


def accumulator(dtype) -> jnp.dtype:
    """The dtype that products with weights of this dtype are summed in."""
    return jnp.dtype("float64" if dtype == jnp.float64 else "float32")


def default_float() -> np.dtype:
    """JAX's dtype for numbers that have none: float32, or under ``jax_enable_x64`` float64."""
    return jnp.dtype(jnp.result_type(float))
