"""The kernels of exported programs, which ``jax.export`` wants to be told of."""

import re

import jax
from jax.export import DisabledSafetyCheck

from ..core import cuda, loader

_CALL = re.compile(r"custom_call @(eventops_\w+)")


def export_checks(function=None, *args, platforms=None, **kwargs) -> list[DisabledSafetyCheck]:
    """What to pass to ``jax.export.export`` as ``disabled_checks``: the kernels that a program may call by name.

    JAX does not promise that a kernel is there where the program is loaded. It is once that process has imported
    the same version of `eventops`.

    Parameters
    ----------
    function : callable, optional
        The kernels of this function alone. By default those of the package: of products, their gradients, delays,
        updates of weights, on every platform and with every storage.
    *args, **kwargs
        Of the function: arrays, or ``jax.ShapeDtypeStruct``.
    platforms : sequence of str, optional
        That the function's program is for, as ``export`` takes them. By default that of this process.

    Returns
    -------
    list of jax.export.DisabledSafetyCheck
        Without a function take this one for a program that is serialized with its gradient (``vjp_order``).

    Examples
    --------
    >>> import jax, jax.numpy as jnp, eventops as nn
    >>> op = nn.EventFixedNumConn(100, 50, 10, 0.5)
    >>> spikes = jnp.arange(100) % 7 == 0
    >>> program = jax.export.export(jax.jit(op), disabled_checks=nn.export_checks())(spikes)
    >>> [check.is_custom_call() for check in nn.export_checks(op, spikes, platforms=["cpu"])]
    ['eventops_RowsForward']
    """
    names = {kind.target(name) for kind in (loader, cuda) for name in kind.HANDLERS}
    if function is not None:
        traced = jax.jit(function).trace(*args, **kwargs)
        text = traced.lower(lowering_platforms=platforms and tuple(platforms)).as_text()
        names &= set(_CALL.findall(text))
    return [DisabledSafetyCheck.custom_call(name) for name in sorted(names)]
