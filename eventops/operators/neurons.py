"""Leaky integrate-and-fire neurons."""

import math

from ..core.messages import shown
from .neuron_step import Neurons


def _number(call, name, value, *, positive=False) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{call}: {name}={shown(value)} must be a number") from None
    if not math.isfinite(number) or (positive and number <= 0):
        kind = "positive and finite" if positive else "finite"
        raise ValueError(f"{call}: {name}={shown(value)} must be {kind}")
    return number


def _times(call, name, values) -> tuple[float, ...]:
    values = values if isinstance(values, (tuple, list)) else (values,)
    if not 1 <= len(values) <= 2:
        raise ValueError(
            f"{call}: {name}={shown(values)} must be one or two numbers, one for each channel"
        )
    return tuple(_number(call, name, x, positive=True) for x in values)


_COMMON = ("tau", "v_rest", "v_reset", "v_threshold", "resistance")


def _common(call, tau, v_rest, v_reset, v_threshold, resistance, refractory, dt):
    numbers = (
        _number(call, "tau", tau, positive=True),
        _number(call, "v_rest", v_rest),
        _number(call, "v_reset", v_reset),
        _number(call, "v_threshold", v_threshold),
        _number(call, "resistance", resistance),
    )
    if numbers[2] >= numbers[3]:
        raise ValueError(
            f"{call}: v_reset={v_reset} must be below v_threshold={v_threshold}, or every neuron fires for ever"
        )
    return numbers, _number(call, "refractory", refractory), _number(call, "dt", dt, positive=True)


class LIFDelta(Neurons):
    """Leaky integrate-and-fire neurons whose potential jumps at each spike that arrives.

    ``tau dV/dt = v_rest - V + resistance * drive``, solved exactly on the grid; then V jumps by the input.

    Parameters
    ----------
    tau : float
        Time constant of the membrane, in the unit of ``dt``.
    v_rest, v_reset, v_threshold : float
        Potentials, in one unit. A neuron fires where V reaches the threshold, and V is then reset.
    refractory : float
        Time for which V stands still after a spike, in the unit of ``dt``.
    dt : float
        Time step.
    resistance : float
        Potential for a drive of 1.
    backend : {None, 'cpu', 'reference'}
        None takes the native loop on CPUs; other devices run the reference, whose loop XLA compiles.

    Examples
    --------
    >>> import jax.numpy as jnp, eventops as nn
    >>> cells = nn.LIFDelta(20.0, v_rest=0.0, v_reset=0.0, v_threshold=20.0, refractory=2.0, dt=0.1)
    >>> state = cells.init_state(3)
    >>> state, spikes = cells.step(state, jnp.array([0.0, 10.0, 25.0]))
    >>> spikes.tolist()
    [False, False, True]
    """

    def __init__(
        self,
        tau,
        *,
        v_rest,
        v_reset,
        v_threshold,
        refractory=0.0,
        dt=0.1,
        resistance=1.0,
        backend=None,
    ):
        call = type(self).__name__
        given = tau, v_rest, v_reset, v_threshold, resistance, refractory, dt
        numbers, refractory, dt = _common(call, *given)
        decay = math.exp(-dt / numbers[0])
        law = (decay, *numbers[1:4], numbers[4] * -math.expm1(-dt / numbers[0]))
        self._init(_COMMON, numbers, (), refractory, dt, law, backend)


class LIFExp(Neurons):
    """Leaky integrate-and-fire neurons with one or two exponential synaptic currents, solved exactly.

    ``tau dV/dt = v_rest - V + resistance * (sum of I + drive)`` and ``tau_syn dI/dt = -I`` for each channel. What
    arrives is added to I at the end of the step, so that V meets it in the next one (Rotter & Diesmann, Biol. Cybern.
    81, 381-402, 1999).

    Parameters
    ----------
    tau : float
        Time constant of the membrane, in the unit of ``dt``.
    tau_syn : float or tuple of float
        Of each channel.
    v_rest, v_reset, v_threshold : float
        Potentials, in one unit. A neuron fires where V reaches the threshold, and V is then reset.
    refractory : float
        Time for which V stands still after a spike, in the unit of ``dt``.
    dt : float
        Time step.
    resistance : float
        Potential for a current of 1; ``tau / capacity``.
    backend : {None, 'cpu', 'reference'}
        None takes the native loop on CPUs; other devices run the reference, whose loop XLA compiles.

    Examples
    --------
    >>> import jax.numpy as jnp, eventops as nn
    >>> cells = nn.LIFExp(10.0, 0.5, v_rest=-65.0, v_reset=-65.0, v_threshold=-50.0, refractory=2.0)
    >>> state = cells.init_state(2)
    >>> state, spikes = cells.step(state, jnp.array([0.0, 100.0]), drive=1.0)
    >>> state.synaptic[0].tolist()
    [0.0, 100.0]
    """

    def __init__(
        self,
        tau,
        tau_syn,
        *,
        v_rest,
        v_reset,
        v_threshold,
        refractory=0.0,
        dt=0.1,
        resistance=1.0,
        backend=None,
    ):
        call = type(self).__name__
        given = tau, v_rest, v_reset, v_threshold, resistance, refractory, dt
        numbers, refractory, dt = _common(call, *given)
        tau_syn = _times(call, "tau_syn", tau_syn)
        tau, resistance = numbers[0], numbers[4]
        decay = math.exp(-dt / tau)
        law = [decay, *numbers[1:4], resistance * -math.expm1(-dt / tau)]
        for t in tau_syn:
            kept = math.exp(-dt / t)
            near = math.isclose(t, tau, rel_tol=1e-6)
            reached = dt / tau * decay if near else t / (tau - t) * (decay - kept)
            law += [kept, resistance * reached]
        self._init(_COMMON, numbers, tau_syn, refractory, dt, tuple(law), backend)


class LIFCond(Neurons):
    """Leaky integrate-and-fire neurons with one or two synaptic conductances, by exponential Euler.

    ``tau dV/dt = (v_rest - V) + sum of g (reversal - V) + resistance * drive`` and ``tau_syn dg/dt = -g``, with
    conductances relative to that of the leak. What arrives is added to g at the beginning of the step; g then stands
    still for the step of V.

    Parameters
    ----------
    tau : float
        Time constant of the membrane, in the unit of ``dt``.
    tau_syn, reversal : float or tuple of float
        Time constant and reversal potential of each channel.
    v_rest, v_reset, v_threshold : float
        Potentials, in one unit. A neuron fires where V reaches the threshold, and V is then reset.
    refractory : float
        Time for which V stands still after a spike, in the unit of ``dt``.
    dt : float
        Time step.
    resistance : float
        Potential for a drive of 1.
    backend : {None, 'cpu', 'reference'}
        None takes the native loop on CPUs; other devices run the reference, whose loop XLA compiles.

    Examples
    --------
    >>> import jax.numpy as jnp, eventops as nn
    >>> cells = nn.LIFCond(20.0, (5.0, 10.0), (0.0, -80.0), v_rest=-60.0, v_reset=-60.0, v_threshold=-50.0)
    >>> state = cells.init_state(2)
    >>> state, spikes = cells.step(state, jnp.array([0.6, 0.0]), jnp.zeros(2), drive=20.0)
    >>> bool(state.v[0] > state.v[1])
    True
    """

    _conductance = True

    def __init__(
        self,
        tau,
        tau_syn,
        reversal,
        *,
        v_rest,
        v_reset,
        v_threshold,
        refractory=0.0,
        dt=0.1,
        resistance=1.0,
        backend=None,
    ):
        call = type(self).__name__
        given = tau, v_rest, v_reset, v_threshold, resistance, refractory, dt
        numbers, refractory, dt = _common(call, *given)
        tau_syn = _times(call, "tau_syn", tau_syn)
        reversal = reversal if isinstance(reversal, (tuple, list)) else (reversal,)
        reversal = tuple(_number(call, "reversal", e) for e in reversal)
        if len(reversal) != len(tau_syn):
            raise ValueError(
                f"{call}: {len(reversal)} reversal potentials do not fit {len(tau_syn)} time constants; pass one for "
                "each channel"
            )
        law = [-dt / numbers[0], *numbers[1:4], numbers[4]]
        for t, e in zip(tau_syn, reversal):
            law += [math.exp(-dt / t), e]
        names = (*_COMMON, "reversal")
        self._init(names, (*numbers, reversal), tau_syn, refractory, dt, tuple(law), backend)
