"""The forms in which a random graph is kept."""

from ..core.messages import shown
from ..graphs import drawing
from ..graphs.weights import Law

SPARSE = "sparse"
PROCEDURAL = "procedural"
STORAGES = (SPARSE, PROCEDURAL)


def check_storage(call: str, storage: str, rule: int) -> None:
    """Raise if there is no such form, or none for this rule."""
    if storage not in STORAGES:
        raise ValueError(
            f"{call}: storage={shown(storage)} is not one of {', '.join(map(repr, STORAGES))}"
        )
    if storage == PROCEDURAL and rule == drawing.FIXED_PRE:
        # See docs/decisions.md for why no rule can give it.
        raise ValueError(
            f"{call}: storage='procedural' cannot have efferent_target='pre': the sources of each post neuron are "
            "drawn independently, so the targets of one pre neuron are known only after all have been drawn. Use "
            "storage='sparse', or efferent_target='post'"
        )


def check_weight(call: str, storage: str, weight, shape: tuple[int, ...] = ()) -> None:
    """Raise if there is more than one weight where no synapse is stored. ``shape`` is that of the parameters of a law."""
    if storage != PROCEDURAL or isinstance(weight, Law):
        return
    if callable(weight) or getattr(weight, "shape", ()) not in ((), shape):
        raise ValueError(
            f"{call}: storage='procedural' has one weight for all synapses, or generates them; pass a number or a law of "
            "eventops.weights, or use storage='sparse' for an array or an initialiser"
        )
