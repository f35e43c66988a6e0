"""Operators as pytrees: what can be trained apart from what cannot, and operators in exported programs."""

import base64
import dataclasses
import functools
import json

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from ..core import loader
from ..core.byte_order import native
from ..core.messages import shown
from ..graphs.graph import Graph
from ..graphs.lattice import Lattice
from ..graphs.quantiles import Quantiles
from ..operators.delays import Delayed
from ..operators.distance_prob import EventDistanceProb
from ..operators.drive import PoissonInput
from ..operators.drive_spikes import PoissonSpikes
from ..operators.facts import Facts
from ..operators.fixed_num import EventFixedNumConn, FixedNumConn
from ..operators.fixed_prob import EventFixedProb
from ..operators.fixed_total import EventFixedTotalNum
from ..operators.linear import EventLinear, Linear
from ..operators.sparse import EventSparse
from ..rows.csr import Columns, Rows
from ..rows.delay_table import DelayTable


def split(model):
    """The floating arrays of a model by name, and the way back.

    A sparse operator holds its graph as integer arrays, which are no business of a gradient or of an
    optimiser: ``jax.grad`` refuses integers, Adam would allocate moments for every synapse's index, and
    ``optax.apply_updates`` on a tree that holds them passes them through float32, which changes pointers
    above 2**24. Differentiate and update ``weights`` instead, and the graph is never touched.

    Parameters
    ----------
    model : pytree
        One operator, or any container of operators and arrays: a dict, a tuple, a module of a library
        whose modules are pytrees. Its arrays may be traced.

    Returns
    -------
    weights : dict of str to array
        Every floating (or complex) array leaf under its path, for example ``'exc.weight'``; plain Python
        numbers stay in the model. The same array at two places is two entries.
    merge : callable
        ``merge(weights)`` is the model with these weights. It is itself a pytree that holds the other
        leaves (the graphs): pass it to a jitted function as an argument, so that they do not become
        constants of the program. It does not keep ``weights`` alive.

    Raises
    ------
    ValueError
        By ``split``, if two leaves have the same path. By ``merge``, if a name is missing or unknown, or an
        array has another shape than the one that was split off.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, eventops as nn
    >>> model = {"exc": nn.EventFixedNumConn(4, 6, 2, 0.5), "tau": jnp.float32(10.0)}
    >>> weights, merge = nn.split(model)
    >>> weights
    {'exc.weight': Array(0.5, dtype=float32), 'tau': Array(10., dtype=float32)}
    >>> spikes = jnp.array([True, False, True, False])
    >>> def loss(weights, merge):
    ...     model = merge(weights)
    ...     return model["exc"](spikes).sum() / model["tau"]
    >>> grads = jax.jit(jax.grad(loss))(weights, merge)
    >>> float(grads["exc.weight"])
    0.4000000059604645

    Train a part, here all but ``tau``:

    >>> part = {"exc.weight": weights["exc.weight"]}
    >>> list(jax.grad(lambda part: loss({**weights, **part}, merge))(part))
    ['exc.weight']
    """
    leaves, treedef = jax.tree_util.tree_flatten_with_path(model)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    weights, others, plan = {}, [], []
    for name, (_, leaf) in zip(names, leaves):
        if _is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.inexact):
            if name in weights:
                raise ValueError(
                    f"split: two leaves of the model are named {name!r}; rename a key of a container"
                )
            weights[name] = leaf
            plan.append((name, jnp.shape(leaf)))
        elif _is_array(leaf) or isinstance(leaf, (bool, int, float, complex)):
            others.append(leaf)
            plan.append(None)
        else:  # a function or a string: JAX takes neither as an argument, but both can be static
            plan.append(_Static(leaf))
    return weights, Merge(others, treedef, tuple(plan))


@dataclasses.dataclass(frozen=True)
class _Static:
    leaf: object


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("others",), meta_fields=("treedef", "plan")
)
@dataclasses.dataclass(frozen=True, repr=False)
class Merge:
    """What :func:`split` returns beside the weights: a model without its floating arrays.

    Attributes
    ----------
    others : list
        The leaves that are not weights, in the model's order.
    treedef, plan
        The model's structure, and what stands at each of its leaves.
    """

    others: list
    treedef: jax.tree_util.PyTreeDef
    plan: tuple

    def __call__(self, weights):
        """The model with these weights; see :func:`split`."""
        shapes = dict(place for place in self.plan if isinstance(place, tuple))
        if not isinstance(weights, dict):
            raise ValueError(
                f"merge: weights must be a dict, as split gave it, not {shown(weights)}"
            )
        if weights.keys() != shapes.keys():
            missing, unknown = shapes.keys() - weights.keys(), weights.keys() - shapes.keys()
            raise ValueError(
                f"merge: missing {sorted(missing)} and unknown {sorted(unknown)}; "
                f"the names are {sorted(shapes)}"
            )
        for name, shape in shapes.items():
            if jnp.shape(weights[name]) != shape:
                raise ValueError(
                    f"merge: {name} has shape {jnp.shape(weights[name])}, not {shape}; for a stack of "
                    "weights call merge inside vmap"
                )
        others = iter(self.others)
        leaves = []
        for place in self.plan:
            if isinstance(place, tuple):
                weight = weights[place[0]]
                leaves.append(native(weight) if isinstance(weight, np.ndarray) else weight)
            else:
                leaves.append(place.leaf if isinstance(place, _Static) else next(others))
        return jax.tree_util.tree_unflatten(self.treedef, leaves)

    def __repr__(self):
        names = [place[0] for place in self.plan if isinstance(place, tuple)]
        return f"Merge({', '.join(names)})"


def _is_array(leaf) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray, np.generic))


# Exported programs name their kernels, and may be called where no operator was ever made: register them now.
loader.unavailable()


# Operators as arguments and results of functions that jax.export serializes. The text is JSON, so that
# reading a file runs no code.


def _to_json(static) -> bytes:
    return json.dumps([_plain(value) for value in static]).encode()


def _from_json(text) -> tuple:
    return tuple(_from_plain(value) for value in json.loads(bytes(text)))


def _plain(value):
    if isinstance(value, Facts):
        return {"facts": {}}
    if isinstance(value, Quantiles):
        return {"name": value.name, "packed": base64.b64encode(value.packed).decode()}
    if not isinstance(value, Graph):
        return value
    fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(Graph)}
    if value.lattice is not None:
        fields["lattice"] = value.lattice.to_dict()
    return fields


def _from_plain(value):
    if not isinstance(value, dict):
        return value
    if "facts" in value:
        return Facts()
    if "packed" in value:
        return Quantiles(value["name"], base64.b64decode(value["packed"]))
    lattice = value.pop("lattice")
    return Graph(**value, lattice=None if lattice is None else Lattice.from_dict(lattice))


_CLASSES = (
    Linear,
    EventLinear,
    EventFixedProb,
    FixedNumConn,
    EventFixedNumConn,
    EventFixedTotalNum,
    EventDistanceProb,
    EventSparse,
    Rows,
    Columns,
)
for _cls in (*_CLASSES, Delayed, DelayTable, PoissonInput, PoissonSpikes):
    jax.export.register_pytree_node_serialization(
        _cls,
        serialized_name=f"eventops.{_cls.__name__}",
        serialize_auxdata=_to_json,
        deserialize_auxdata=_from_json,
    )
