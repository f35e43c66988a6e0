"""The native step of integrate-and-fire neurons; shapes as in :mod:`neurons_reference`. States are updated in place."""

import jax
import numpy as np

from ..core.loader import target


def step(law, v, wait, *arrays, channels, conductance, pause):
    state = (v, wait, *arrays[:channels])
    out = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in state]
    out.append(jax.ShapeDtypeStruct(v.shape, np.bool_))
    aliases = {k + 1: k for k in range(len(state))}
    call = jax.ffi.ffi_call(target("Neurons"), out, input_output_aliases=aliases)
    attributes = dict(channels=channels, conductance=int(conductance), pause=pause)
    whole = {name: np.int64(value) for name, value in attributes.items()}
    return tuple(call(law, v, wait, *arrays, **whole))
