"""Large arrays that a jitted function closes over: JAX copies them into the program as constants."""

import functools
import warnings

import jax


def inside_jit() -> bool:
    """Whether ``jit`` is tracing; transformations of eager code copy nothing, nor do eager loops."""
    # A function of no traced argument gives a tracer only where a program is being traced.
    tracer = jax.lax.full((), 0.0)
    if not isinstance(tracer, jax.core.Tracer):
        return False
    # A loop in eager code is traced too, but takes the arrays as its arguments. That jit is not around it
    # shows only in attributes that are not public; where they are absent, count it as jit.
    trace = getattr(tracer, "_trace", None)
    purposes = []
    while trace is not None:
        purposes.append(_purpose(trace))
        trace = getattr(trace, "parent_trace", None)
    return "jit" in purposes or not any(purposes)


def _purpose(trace) -> str | None:
    return getattr(getattr(getattr(trace, "frame", None), "debug_info", None), "traced_for", None)


@functools.cache
def warn_once() -> None:
    warnings.warn(
        "eventops: a jitted function closes over a large operator, and JAX copies its arrays into the program "
        "as constants (slow to compile, and twice the memory). Pass it as an argument, "
        "jax.jit(lambda op, s: op(s))(op, s), or call "
        "jax.config.update('jax_use_simplified_jaxpr_constants', True)",
        UserWarning,
        stacklevel=2,
    )
