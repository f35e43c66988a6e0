"""Names that modules had before there were packages: pickles of eventops 0.1.0 name them."""

import importlib
import sys

# Before: now. Those of which an operator, its graph or its state is an instance.
NOW = {
    "csr": "rows.csr",
    "delay_table": "rows.delay_table",
    "delays": "operators.delays",
    "distance_prob": "operators.distance_prob",
    "fixed_num": "operators.fixed_num",
    "fixed_prob": "operators.fixed_prob",
    "fixed_total": "operators.fixed_total",
    "graph": "graphs.graph",
    "lattice": "graphs.lattice",
    "linear": "operators.linear",
    "parts": "operators.parts",
    "quantiles": "graphs.quantiles",
    "random": "graphs.drawing",
    "sparse": "operators.sparse",
    "trees": "interop.trees",
}


def register() -> None:
    """Let ``pickle`` find the modules under the names of before; they are the same modules."""
    for before, now in NOW.items():
        module = importlib.import_module(f"eventops.{now}")
        sys.modules.setdefault(f"eventops.{before}", module)
