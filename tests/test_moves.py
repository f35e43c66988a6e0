"""What the modules of before are called by: pickles, and commands and imports that the documents name."""

import lzma
import pathlib
import pickle

import jax
import numpy as np

import eventops as nn

PICKLED = pathlib.Path(__file__).parent / "data/pickled-0.1.0.xz"


def test_operators_that_were_pickled_by_0_1_0_load():
    """The file names modules as they were when all of them stood side by side in ``eventops/``."""
    found = pickle.loads(lzma.decompress(PICKLED.read_bytes()))
    made = {
        "linear": nn.Linear(3, 2, 0.5),
        "prob": nn.EventFixedProb(6, 5, 0.4, 1.5, seed=1),
        "num": nn.EventFixedNumConn(6, 5, 2, 1.5, seed=1),
        "fixed_num": nn.FixedNumConn(6, 5, 2, 1.5, seed=1),
        "total": nn.EventFixedTotalNum(6, 5, 7, 1.5, seed=1),
        "distance": nn.EventDistanceProb(
            6, 6, nn.profiles.Gaussian(0.5, 0.2), 1.0, seed=1, storage="procedural"
        ),
        "sparse": nn.EventSparse(([0, 2], [1, 0], [1.0, 2.0]), shape=(3, 2)),
    }
    for name, op in made.items():
        assert type(found[name]) is type(op)
        assert jax.tree.structure(found[name]) == jax.tree.structure(op)
        np.testing.assert_array_equal(found[name].todense(), op.todense())
    late, state = found["delayed"], found["state"]
    assert type(late) is nn.Delayed
    state, current = late.step(state, np.ones(6, bool))
    assert current.shape == (5,)
    assert type(state) is type(late.init_state())
