"""Where arrays are made that do not depend on what the caller traces: on which thread, on which device."""

import concurrent.futures

import jax
import jax.numpy as jnp


def apart(make):
    """``make()`` on a thread of its own, where JAX has neither trace nor mesh of the caller's.

    So one device draws, also under ``jax.set_mesh`` (where all would), and an operator that is made inside
    ``jit`` has its graph as a constant of the program.
    """
    x64 = jax.config.jax_enable_x64  # may be of the caller's thread alone

    def made():
        with jax.enable_x64(x64):
            return make()

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(made).result()


def placed(arrays):
    """On the default device, or the devices of the mesh that is set, where the user's other arrays are."""
    with jax.ensure_compile_time_eval():
        default = jnp.zeros(()).sharding
        if jax.tree.leaves(arrays)[0].sharding == default:
            return arrays
        return jax.device_put(arrays, default)
