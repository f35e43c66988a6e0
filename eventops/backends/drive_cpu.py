"""The native kernels of random drive; shapes as in :mod:`drive_reference`. A current is added to in place."""

import jax

from ..core.loader import target
from ..graphs import poisson_law


def counts(counter, seed, first, mean, *, n):
    lead = max(x.shape[0] for x in (counter, seed, first, mean))
    call = jax.ffi.ffi_call(target("PoissonCounts"), jax.ShapeDtypeStruct((lead, n), "int32"))
    return call(counter, seed, first, mean)


def current(into, weight, *draw, n, dtype):
    adds = into.shape != (0,)
    lead = max(x.shape[0] for x in (weight, *draw))
    out = jax.ShapeDtypeStruct(into.shape if adds else (lead, n), dtype)
    aliases = {0: 0} if adds else {}
    call = jax.ffi.ffi_call(target("PoissonCurrent"), out, input_output_aliases=aliases)
    return call(into, weight, *draw)


def spikes(counter, seed, first, rate, *, n, poisson):
    lead = max(x.shape[0] for x in (counter, seed, first, rate))
    out = jax.ShapeDtypeStruct((lead, n), "int32" if poisson else "bool")
    tables = poisson_law.gap_tables(poisson), poisson_law.more_table()
    return jax.ffi.ffi_call(target("PoissonSpikes"), out)(counter, seed, first, rate, *tables)
