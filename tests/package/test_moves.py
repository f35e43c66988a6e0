"""What the modules of before are called by: pickles, and commands and imports that the documents name."""

import importlib
import lzma
import pathlib
import pickle
import subprocess
import sys

import jax
import numpy as np
import pytest

import eventops as nn
from eventops import moved

PICKLED = pathlib.Path(__file__).parents[1] / "data/pickled-0.1.0.xz"


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


def test_every_name_of_before_is_a_module_of_now():
    for before, now in moved.NOW.items():
        assert sys.modules[f"eventops.{before}"] is sys.modules[f"eventops.{now}"]


@pytest.mark.parametrize("name", ("weights", "profiles", "models"))
def test_public_modules_are_imported_by_their_names(name):
    module = importlib.import_module(f"eventops.{name}")
    assert getattr(nn, name, module) is module
    assert all(getattr(module, found).__doc__ for found in module.__all__)


def test_eventops_brainstate_is_imported_by_its_name():
    pytest.importorskip("brainstate")
    module = importlib.import_module("eventops.brainstate")
    assert {"EventFixedNumConn", "EventFixedProb", "EventLinear", "FixedNumConn"} <= set(
        module.__all__
    )


COMMANDS = ("compare", "environments", "gpu", "join", "kernels", "rebuild", "ship")


@pytest.mark.parametrize("name", COMMANDS)
def test_documented_commands_run(name):
    """Only as far as to say that they do not know what they were given."""
    line = [sys.executable, "-m", f"eventops.bench.{name}", "--no-such-option"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert "No module named" not in done.stderr, done.stderr
    assert "ImportError" not in done.stderr, done.stderr
    assert done.returncode != 0
