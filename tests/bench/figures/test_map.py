"""The map says nothing where too little was measured, and names what it is drawn for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import support.bench_synthetic as made
from advice.test_ranking import block
from matplotlib.text import Text

from eventops.advice import cost
from eventops.bench.figures import map as figures_map
from eventops.bench.figures.style import theme
from eventops.bench.tables import predictions, readings


def drawn(points):
    with theme():
        return figures_map.map(readings.prepare(pd.DataFrame(points)), made.MACHINE)


def said(points) -> str:
    return " ".join(t.get_text() for t in drawn(points).findobj(Text))


def test_one_connection_probability_gives_no_map():
    assert "Too few points" in said(block()) and "fastest where" in said(block())
    several = block() + block(25_000, "0.1")
    assert "EventFixedProb" in said(several) and "Too few points" not in said(several)


def test_dense_matrices_alone_give_no_map():
    """What they say about connection probabilities is nothing."""
    assert "Too few points" in said(made.points(jobs=made.JOBS[:3], batches=(1,)))


@pytest.mark.parametrize("weight", ["homogeneous", "per-synapse"])
def test_the_map_and_the_crossovers_are_for_the_weights_that_were_measured(weight):
    points = pd.DataFrame(block() + block(25_000, "0.1")).assign(weight=weight)
    words = {"homogeneous": "one weight for all", "per-synapse": "a weight for each synapse"}
    assert words[weight] in said(points)
    rows = predictions.rows_of(readings.prepare(points))
    assert predictions.stored_of(rows, "scan") == (0.0 if weight == "homogeneous" else 4.0)
    found = predictions.tables(readings.prepare(points), made.MACHINE)["crossovers"]
    at = found[found["prob"].isin([0.02, 0.05, 0.1])]
    assert len(at) and set(at["kind"]) <= {"at", "never"} and len(found) == 8
    # With the other kind of weights all would be extrapolated.
    never = at[at["kind"] == "never"]
    assert never["extrapolated"].all()  # up to all inputs active, beyond the rates of the block


def test_beyond_the_measured_probabilities_it_is_hatched():
    """Whoever is the fastest there: the times of stored synapses beside it are guesses."""
    points = made.points(jobs=made.JOBS[:6], batches=(1,))
    rows = predictions.rows_of(readings.prepare(points))
    curves = {k[:2]: c for k, c in cost.fit(rows, {}).items() if k[2] == "scan"}
    asked = figures_map._asked(4_000, 0.0)
    far = curves[cost.OURS, "sparse"].outside(asked).any(axis=-1)
    assert figures_map._told(curves, asked).all() and far[:8].all() and not far.all()
    hatched = [
        c for ax in drawn(points).axes for c in ax.collections if getattr(c, "hatches", None)
    ]
    assert any(c.hatches == ["////"] for c in hatched)


def test_a_place_that_is_not_told_is_left_blank():
    several = block() + block(25_000, "0.1")
    curves = {k[:2]: c for k, c in cost.fit(several, {}).items() if k[2] == "scan"}
    told = figures_map._told(curves, figures_map._asked(500, 4.0))
    assert told.all()
    other = figures_map._told(curves, figures_map._asked(2_000, 4.0))
    assert not other.any() and np.shape(other) == np.shape(told)
