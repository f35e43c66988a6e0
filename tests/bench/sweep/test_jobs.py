"""From a configuration to jobs: names, hashes, errors and predictions."""

import re

import numpy as np
import pytest
from support.bench_jobs import config, job, jobs

from eventops.bench.sweep import connectome, predict, setup
from eventops.bench.sweep import jobs as sweep

NUMBER = {"operator": "EventFixedNumConn", "sizes": [100], "conn": [10]}


def test_ids_are_readable_and_distinct():
    block = NUMBER | {
        "sizes": [100, [100, 200]],
        "conn": [10, "0.1"],
        "dtypes": ["float32", "float64"],
    }
    found = jobs(block, NUMBER | {"efferent_target": ["pre"]})
    assert len(found) == 9
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in found)
    pattern = r"EventFixedNumConn-cpu-100x200-num0\.1-float64-sparse-homogeneous-[0-9a-f]{8}"
    assert sum(bool(re.fullmatch(pattern, name)) for name in found) == 1


def test_small_probabilities_keep_their_text():
    (name,) = jobs({"operator": "EventFixedProb", "sizes": [10], "conn": ["0.00001"]})
    assert "prob0.00001-" in name


@pytest.mark.parametrize(
    "change",
    [
        {"rates": ["0.02"]},
        {"batches": [2]},
        {"modes": ["call"]},
        {"conn": [11]},
        {"peers": []},
        {"allow_self_conn": False},
        {"allow_multi_conn": True},
    ],
)
def test_a_changed_value_changes_only_its_job(change):
    other = {"operator": "EventLinear", "sizes": [50]}
    before, after = jobs(NUMBER, other), jobs(NUMBER | change, other)
    assert len(before.keys() & after.keys()) == 1


def test_renaming_a_block_changes_nothing():
    one, two = jobs(NUMBER), jobs({**NUMBER, "name": "another"})
    assert one.keys() == two.keys()


def test_backends_follow_the_device():
    block = NUMBER | {"backends": ["default", "reference", "gpu"]}
    cfg = config(block)
    built = sweep.jobs(cfg, ["cpu"], {"reference": None, "cpu": None})
    assert sorted(j["backend"] for j in built.values()) == ["cpu", "reference"]
    unbuilt = sweep.jobs(cfg, ["cpu"], {"reference": None, "cpu": "not built"})
    assert [j["backend"] for j in unbuilt.values()] == ["reference"]
    with pytest.raises(ValueError, match="'cpu' is not available: not built"):
        named = config(NUMBER | {"backends": ["cpu"]})
        sweep.jobs(named, ["cpu"], {"reference": None, "cpu": "not built"})


def test_backends_of_a_gpu():
    """Its own kernels by default; where they cannot run, a message and not something slower."""
    block = NUMBER | {"backends": ["default", "reference", "cpu", "gpu-atomics"]}
    runs = {"reference": None, "cpu": None, "gpu": None, "gpu-atomics": None}
    both = sweep.jobs(config(block), ["cpu", "gpu"], runs)
    assert sorted((j["device"], j["backend"]) for j in both.values()) == [
        ("cpu", "cpu"),
        ("cpu", "reference"),
        ("gpu", "gpu"),
        ("gpu", "gpu-atomics"),
        ("gpu", "reference"),
    ]
    with pytest.raises(ValueError, match="NVRTC is missing; or leave the GPU out"):
        sweep.jobs(config(NUMBER), ["cpu", "gpu"], runs | {"gpu": "NVRTC is missing"})


@pytest.mark.parametrize(
    "block, message",
    [
        ({"operator": "EventLinear", "sizes": [5], "conn": [1]}, "dense and has no conn"),
        ({"operator": "EventFixedProb", "sizes": [5]}, "needs conn"),
        ({"operator": "EventFixedProb", "sizes": [5], "conn": [3]}, "EventFixedNumConn"),
        (NUMBER | {"rates": ["0.1", "0.10"]}, "'0.1' and '0.10', the same number"),
        (
            {"operator": "EventLinear", "sizes": [5], "efferent_target": ["pre"]},
            "efferent_target",
        ),
        (
            NUMBER | {"storage": ["procedural"], "efferent_target": ["post", "pre"]},
            "storage procedural cannot have efferent_target pre",
        ),
        (
            NUMBER | {"storage": ["sparse", "procedural"], "weights": ["per-synapse"]},
            "storage procedural has one weight for all synapses",
        ),
        (NUMBER | {"space": "ring"}, "space belongs to EventDistanceProb"),
        (
            NUMBER | {"operator": "EventFixedTotalNum", "efferent_target": ["pre"]},
            "efferent_target",
        ),
        (
            {"operator": "EventDistanceProb", "sizes": [50], "conn": ["0.1"]},
            "50 neurons are no square torus; use 49 or 64",
        ),
        (
            {
                "operator": "EventDistanceProb",
                "sizes": [49],
                "conn": ["0.1"],
                "allow_multi_conn": True,
            },
            "allow_multi_conn belongs to",
        ),
        ({"operator": "EventDistanceProb", "sizes": [49], "conn": [2]}, "no probability"),
        ({"operator": "EventSparse", "sizes": [5], "conn": ["0.1"]}, "is a mean out-degree"),
        (
            {"operator": "EventSparse", "sizes": [5], "conn": [2], "storage": ["procedural"]},
            "EventSparse is given its synapses",
        ),
        (
            {"operator": "EventSparse", "sizes": [5], "conn": [2], "allow_self_conn": False},
            "allow_self_conn belongs to random rules",
        ),
        (
            {"operator": "EventLinear", "sizes": [5], "storage": ["procedural"]},
            "EventLinear is dense and draws no graph",
        ),
        (
            NUMBER | {"sizes": [[9, 5]], "conn": [6]},
            "conn 6 needs 6 distinct partners, but at size 9 x 5 there are 5; take a smaller conn",
        ),
        (
            NUMBER
            | {
                "sizes": [[5, 9]],
                "conn": [5],
                "efferent_target": ["pre"],
                "allow_self_conn": False,
            },
            "needs 5 distinct partners, but at size 5 x 9 there are 4",
        ),
        (
            {"operator": "EventFixedTotalNum", "sizes": [5], "conn": [26]},
            "needs 26 distinct pairs, but at size 5 x 5 there are 25",
        ),
    ],
)
def test_meaningless_blocks_are_refused(block, message):
    with pytest.raises(ValueError, match=message):
        jobs(block)


def test_both_storages_make_two_jobs():
    names = list(jobs(NUMBER | {"storage": ["sparse", "procedural"]}))
    assert ["-sparse-" in name for name in names] == [True, False]
    assert "-procedural-homogeneous-" in names[1]


def test_repeated_partners_may_be_more_than_there_are():
    assert jobs(NUMBER | {"sizes": [5], "conn": [6], "allow_multi_conn": True})
    assert jobs(NUMBER | {"sizes": [[9, 5]], "conn": [5]})


def test_a_procedural_operator_is_predicted_to_store_its_weight():
    drawn = job("EventFixedNumConn", 100_000, conn=[1000], storage=["procedural"])
    assert predict.stored_bytes(drawn, "eventops") == 4
    stored = predict.stored_bytes({**drawn, "storage": "sparse"}, "eventops")
    # The checks draw it, and compare it with a stored one.
    assert 2 * stored < predict.peak_bytes(drawn, "eventops") < 4 * stored
    assert predict.peak_bytes(drawn, "brainevent-jit") == 12


def test_two_blocks_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two blocks of sweep are named 'x'"):
        jobs({**NUMBER, "name": "x"}, {**NUMBER, "name": "x"})


def test_a_proportion_is_rounded_to_nearest():
    assert sweep.partners(job("FixedNumConn", 100, conn=["0.29"])) == 29
    assert sweep.partners(job("FixedNumConn", 100, conn=[29])) == 29


def test_expected_synapses():
    assert sweep.expected_synapses(job("EventLinear", 30)) == 900
    assert sweep.expected_synapses(job("EventFixedNumConn", sizes=[[30, 50]])) == 210
    fan_in = job("EventFixedNumConn", sizes=[[30, 50]], efferent_target=["pre"])
    assert sweep.expected_synapses(fan_in) == 350
    assert sweep.expected_synapses(job("EventFixedProb", 100, allow_self_conn=False)) == 1980
    assert sweep.expected_synapses(job("EventFixedTotalNum", sizes=[[30, 50]], conn=[77])) == 77
    assert sweep.expected_synapses(job("EventFixedTotalNum", sizes=[[30, 50]], conn=["0.1"])) == 150
    ring = job("EventDistanceProb", sizes=[100], space="ring", profile="box", length="0.0501")
    assert sweep.expected_synapses(ring) == 660  # itself and five on both sides, each with 0.6


def test_a_given_matrix_is_that_of_its_seed_and_its_size_is_known():
    one = job("EventSparse", sizes=[[2000, 500]], conn=[30])
    pre, post, _ = connectome.entries(one)
    assert all(np.array_equal(a, b) for a, b in zip((pre, post), connectome.entries(one)))
    assert pre.size == sweep.expected_synapses(one) == setup.operator(one).n_synapses
    degree = np.bincount(pre, minlength=2000)
    # Of a log-normal law with sigma 1; 2000 neurons.
    assert degree.mean() == pytest.approx(30, rel=0.1) and degree.std() > 20
    assert len(set(zip(pre, post))) == pre.size and np.any(np.diff(pre) < 0)
    other = connectome.entries({**one, "seed": 2})
    assert not np.array_equal(np.bincount(other[0], minlength=2000), degree)


def test_jobs_of_distances_say_where_the_neurons_are():
    (name,) = jobs({"operator": "EventDistanceProb", "sizes": [[64, 16]], "conn": ["0.5"]})
    assert name.startswith("EventDistanceProb-cpu-64x16-distance0.5.gaussian0.05.torus-float32-")
    other = {"operator": "EventDistanceProb", "sizes": [[64, 16]], "conn": ["0.5"], "length": "0.1"}
    assert name not in jobs(other)


@pytest.mark.parametrize("space, sizes", [("torus", (400, 100)), ("line", (400, 200))])
def test_the_twin_of_a_distance_fills_its_space(space, sizes):
    large = job("EventDistanceProb", sizes=[1600], space=space)
    small = setup.twin(large)
    assert (small["n_pre"], small["n_post"]) == sizes
    assert small | {"n_pre": 1600, "n_post": 1600} == large


def test_the_twin_of_a_total_has_its_density():
    large = job("EventFixedTotalNum", sizes=[4000], conn=[160_000])
    assert setup.twin(large)["conn"] == str(round(160_000 * 400 * 387 / 4000**2))


def test_a_dense_matrix_that_does_not_fit_is_predicted():
    large = job("EventFixedNumConn", 100_000, conn=[1000], backends=["default"])
    needed = predict.peak_bytes(large, "jnp-dense")
    reason = predict.too_big(needed, 0, 16 * predict.GIB)
    assert reason == "needs 38.0 GiB; the limit is 16.0 GiB"
    ours = predict.peak_bytes(large, "eventops")
    assert predict.too_big(ours, 0, 2 * predict.GIB) is None
