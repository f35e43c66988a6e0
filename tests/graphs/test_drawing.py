"""The generator, exactly: known answers, the law of gaps, golden graphs, and two implementations that agree.

Whether the graphs have the statistics of their rule is in test_random_statistics.py.
"""

import dataclasses
import decimal
from fractions import Fraction

import numpy as np
import pytest
from support.cases import native

import eventops as nn
from eventops.graphs import drawing
from eventops.graphs.drawing import draw
from eventops.graphs.gaps import gap_table
from eventops.graphs.generator_reference import philox
from eventops.graphs.graph import BERNOULLI, FIXED_POST, FIXED_PRE, FIXED_TOTAL, Graph
from eventops.graphs.profiles import Box, Exponential, Gaussian

# Philox4x32-10 of the Random123 distribution's kat_vectors: counter, key, result.
KNOWN_ANSWERS = (
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
)


@pytest.mark.parametrize("counter, key, expected", KNOWN_ANSWERS)
def test_philox_known_answers(counter, key, expected):
    c, k, e = ([int(word, 16) for word in text.split()] for text in (counter, key, expected))
    assert philox(k[0] | k[1] << 32, *c).tolist() == e


def distance(n_in, n_out, profile, **options):
    """A graph of the distance rule."""
    return nn.EventDistanceProb(n_in, n_out, profile, 1.0, storage="procedural", **options).graph


# Graphs of generator version 1: the first 32 digits of rows.hash(), and the number of synapses. A change of
# any is another generator, with another version.
GOLDEN = {
    Graph(BERNOULLI, 20, 30, prob=0.3): ("51460a7965ae74f7732e1ca2f41355f3", 177),
    Graph(BERNOULLI, 20, 30, prob=0.9, seed=1): ("f5084134a0de9f5c8450ee74070ac13e", 539),
    Graph(BERNOULLI, 50, 40_000, prob=1e-4, seed=2): ("3dabcb467c799b01d42c573e5ddfc773", 201),
    Graph(BERNOULLI, 25, 25, prob=0.5, allow_self=False, seed=2**63 - 1): (
        "9c6e0304129e18bdf464cbd286c6fd78",
        291,
    ),
    Graph(FIXED_POST, 20, 30, conn_num=7, n_selected=20): (
        "07eb913c3604c9269ea7c369b12efc06",
        140,
    ),
    Graph(FIXED_POST, 20, 30, conn_num=23, n_selected=20, seed=5): (
        "81cf7269379d4112d8f964dbe6543452",
        460,
    ),
    Graph(FIXED_POST, 20, 30, conn_num=40, allow_multi=True, n_selected=20, seed=2**40): (
        "080249b053fc60f182b2cf76af94dfb3",
        800,
    ),
    Graph(FIXED_POST, 40, 30, conn_num=7, n_selected=11, seed=3): (
        "121340ce1284631e61e3322e38a2fc4c",
        77,
    ),
    Graph(FIXED_POST, 30, 30, conn_num=29, allow_self=False, n_selected=30, seed=4): (
        "14b7629b2d6609ba52f628dbaa444207",
        870,
    ),
    Graph(FIXED_PRE, 20, 30, conn_num=7, n_selected=20): (
        "a58a3f32cc03182d199fafb3c890b63c",
        210,
    ),
    Graph(FIXED_PRE, 30, 20_000, conn_num=3, n_selected=30, seed=6): (
        "33b4e81885e7504c0df38199779084c7",
        60_000,
    ),
    Graph(FIXED_PRE, 30, 30, conn_num=5, allow_self=False, n_selected=12, seed=7): (
        "00f7c042e4b44512f47b6dcba278653a",
        150,
    ),
    Graph(FIXED_PRE, 10, 30, conn_num=12, allow_multi=True, n_selected=10, seed=8): (
        "75b5d4929e33fba06756ebe7259c4e8c",
        360,
    ),
    Graph(FIXED_TOTAL, 20, 30, conn_num=100): ("a62e14be10ce0ab0410d73ee3720d9b6", 100),
    Graph(FIXED_TOTAL, 20, 30, conn_num=450, seed=9): ("1c8508aed58384173b8e8f0c166505cd", 450),
    Graph(FIXED_TOTAL, 25, 25, conn_num=300, allow_self=False, seed=2**63 - 1): (
        "7529703192c87a2fd2dddc567a0ea1bc",
        300,
    ),
    Graph(FIXED_TOTAL, 20, 30, conn_num=900, allow_multi=True, seed=10): (
        "eaab6d28784364b6a5608b7573673b82",
        900,
    ),
    Graph(FIXED_TOTAL, 300, 400, conn_num=70_000, allow_multi=True, seed=11): (
        "5b6053ad37ba4b2cf102a35dc4adfad6",
        70000,
    ),
    distance(40, 40, Gaussian(0.5, 3.0)): ("bcb3bdc504c011ad0c2058422288d361", 131),
    distance(40, 60, Exponential(1.0, 2.0), periodic=True, seed=12): (
        "9ef6bc9e11e2e42b4e3b3ceee72a5606",
        231,
    ),
    distance((6, 8), (6, 8), Box(0.3, 2.5), allow_self_conn=False, seed=13): (
        "620f83ce5137410b6b6a6fe6401849a7",
        181,
    ),
    distance(
        (12, 10), (4, 5), Gaussian(0.9, 0.2), extent=1.0, periodic=(True, False), seed=2**40
    ): ("829361e7dd26e81712a7ac055f385039", 430),
}


def name(graph):
    changed = {f.name: getattr(graph, f.name) for f in dataclasses.fields(graph)}
    changed["lattice"] = graph.lattice and graph.lattice.digest[:8]
    return "-".join(f"{k}={v}" for k, v in changed.items() if v not in (None, False, 0, 0.0))


def test_version():
    assert drawing.GENERATOR_VERSION == 1


@pytest.mark.parametrize("reference", [False, True], ids=["native", "reference"])
@pytest.mark.parametrize("graph", GOLDEN, ids=name)
def test_golden_graphs(graph, reference):
    rows = draw(graph, reference=reference)
    assert (rows.hash()[:32], rows.n_synapses) == GOLDEN[graph]


def test_operators_draw_these_graphs():
    """The public call, with its defaults, gives the golden graph: the seed alone is the user's."""
    ops = (
        nn.EventFixedProb(20, 30, 0.3, 1.0),
        nn.EventFixedNumConn(20, 30, 7, 1.0),
        nn.FixedNumConn(20, 30, 7, 1.0, efferent_target="pre"),
        nn.EventFixedTotalNum(20, 30, 100, 1.0),
        nn.EventDistanceProb(40, 40, Gaussian(0.5, 3.0), 1.0),
        nn.EventFixedNumConn(40, 30, 7, 1.0, afferent_ratio=0.275, seed=3),
        nn.EventFixedNumConn(
            30, 30, 5, 1.0, efferent_target="pre", afferent_ratio=0.4, allow_self_conn=False, seed=7
        ),
    )
    for op in ops:
        assert op.rows.hash()[:32] == GOLDEN[op.graph][0], op


# Further graphs that both generators must draw alike: sizes around words, summary words and chunks of
# rows, all digits of the gap tables, probabilities at the ends, and every option.
BOTH = (
    Graph(BERNOULLI, 1, 1, prob=1.0),
    Graph(BERNOULLI, 130, 64, prob=1.0),
    Graph(BERNOULLI, 7, 9, prob=5e-324),
    Graph(BERNOULLI, 70, 65, prob=1 - 2**-53),
    Graph(BERNOULLI, 129, 1000, prob=0.5, seed=9),
    Graph(BERNOULLI, 65, 4097, prob=0.01, seed=2**32),
    Graph(BERNOULLI, 40, 100_000, prob=1e-3, seed=2**32 + 1),
    Graph(BERNOULLI, 20_000, 20_000, prob=3e-7, seed=11),
    Graph(BERNOULLI, 2_000, 10_000_000, prob=5e-8, seed=12),
    Graph(BERNOULLI, 60, 2_000_000_000, prob=2e-9, seed=13),
    Graph(BERNOULLI, 301, 301, prob=0.02, allow_self=False, seed=14),
    Graph(FIXED_POST, 1, 1, conn_num=1, n_selected=1),
    Graph(FIXED_POST, 129, 64, conn_num=32, n_selected=129, seed=1),
    Graph(FIXED_POST, 64, 64, conn_num=33, n_selected=64, seed=2),
    Graph(FIXED_POST, 3, 4096, conn_num=4095, n_selected=3, seed=3),
    Graph(FIXED_POST, 5, 10_001, conn_num=6_000, n_selected=5, seed=2**63 - 1),
    Graph(FIXED_POST, 100, 100, conn_num=50, allow_self=False, n_selected=30, seed=5),
    Graph(FIXED_POST, 9, 9, conn_num=20, allow_multi=True, allow_self=False, n_selected=9, seed=6),
    Graph(FIXED_PRE, 129, 64, conn_num=65, n_selected=129, seed=1),
    Graph(FIXED_PRE, 5000, 9000, conn_num=3, n_selected=4000, seed=2),
    Graph(FIXED_PRE, 100, 100, conn_num=9, allow_self=False, n_selected=10, seed=3),
    Graph(
        FIXED_PRE, 50, 50, conn_num=70, allow_multi=True, allow_self=False, n_selected=20, seed=4
    ),
)


BOTH += (
    Graph(FIXED_TOTAL, 1, 1, conn_num=1),
    Graph(FIXED_TOTAL, 129, 64, conn_num=1),
    Graph(FIXED_TOTAL, 7, 9, conn_num=63, seed=1),
    Graph(FIXED_TOTAL, 7, 9, conn_num=31, seed=2),
    Graph(FIXED_TOTAL, 7, 9, conn_num=32, seed=3),
    Graph(FIXED_TOTAL, 900, 700, conn_num=300_000, seed=4),  # several lines of draws, and repeats
    Graph(FIXED_TOTAL, 200, 40_000, conn_num=5_000, seed=5),
    Graph(FIXED_TOTAL, 50, 50, conn_num=2_449, allow_self=False, seed=6),
    Graph(FIXED_TOTAL, 50, 50, conn_num=9_000, allow_self=False, allow_multi=True, seed=7),
    Graph(FIXED_TOTAL, 100, 100, conn_num=200_000, allow_multi=True, seed=8),
    distance(1, 1, Box(1.0, 1.0)),
    distance(300, 20_000, Gaussian(0.2, 30.0), seed=1),
    distance(300, 301, Exponential(0.01, 50.0), periodic=True, seed=2),
    distance((40, 30), (40, 30), Exponential(0.7, 1.0), allow_self_conn=False, seed=3),
    distance((20, 30), (30, 20), Gaussian(0.9, 3.0), periodic=True, seed=4),
    distance((24, 24), (8, 8), Box(1.0, 5.0), seed=5),
    distance((30, 30), (30, 30), Box(1e-4, 100.0), seed=6),
)


@native
@pytest.mark.parametrize("graph", BOTH, ids=name)
def test_native_is_the_reference(graph):
    ours, reference = draw(graph), draw(graph, reference=True)
    assert np.array_equal(ours.ptr, reference.ptr)
    assert np.array_equal(ours.offsets, reference.offsets)
    assert ours.tile == reference.tile
    if graph.counted:
        assert ours.n_synapses == graph.expected_synapses()


@native
@pytest.mark.parametrize("lower, expected", [(1, 6), (0, 5)])
def test_ties_between_the_upper_halves(monkeypatch, lower, expected):
    """Where the upper 64 bits equal a threshold's, the lower 64 decide; natively and in the reference."""
    graph = Graph(BERNOULLI, 3, 40, prob=0.125, seed=17)
    stream = BERNOULLI | 1 << 16
    upper = philox(graph.seed, 0, 1, 0, stream)[:2]  # the first number of line 1
    low = philox(graph.seed, 0, 1, 1, stream)[:2].astype(np.uint64)
    second = int(low[0]) | int(low[1]) << 32
    table = np.zeros((1, 256, 4), np.uint32)
    table[0, :4] = 0xFFFFFFFF  # every gap is at least 4
    # Two thresholds tie: the first is above the whole fraction, the second is or is just not.
    table[0, 4:6, 2:] = upper
    table[0, 4, :2] = 0xFFFFFFFF
    second += lower
    table[0, 5, :2] = second & 0xFFFFFFFF, second >> 32
    monkeypatch.setattr(drawing, "gap_table", lambda prob: table)
    ours, reference = draw(graph), draw(graph, reference=True)
    assert ours.row(1)[0] == expected
    assert ours.hash() == reference.hash()


PROBABILITIES = (1.0, 1 - 2**-53, 0.9, 0.5, 0.3, 0.01, 1e-3, 1e-5, 3e-8, 1e-12)


@pytest.mark.parametrize("p", PROBABILITIES)
def test_law_of_gaps(p):
    """The digits' tables give P(gap = g) = (1 - p)**g * p, to within a few units of 2**-128."""
    table = gap_table(p)
    assert table.shape == (len(table), 256, 4) and table.dtype == np.uint32
    words = table.astype(object)
    survival = sum(words[..., w] << (32 * w) for w in range(4))
    assert np.all(np.diff(survival, axis=1) <= 0), "a survival function falls"
    scale = 1 << 128
    with decimal.localcontext() as context:
        context.prec = 120

        def exact(x):
            x = Fraction(x)
            return decimal.Decimal(x.numerator) / decimal.Decimal(x.denominator)

        failure = 1 - exact(p)

        def digit_law(d, j):
            above = scale if j == 0 else survival[d, j - 1]
            return exact(Fraction(above - survival[d, j], scale))

        top = 256 ** len(table)
        gaps = {0, 1, 2, 3, 100, 255, 256, 257, 511, 65_535, 65_536, 70_000, 2**24 + 1, top - 1}
        for g in sorted(gap for gap in gaps if gap < top):
            ours = decimal.Decimal(1)
            for d in range(len(table)):
                ours *= digit_law(d, g >> (8 * d) & 255)
            expected = (failure**g if g else 1) * exact(p)
            assert abs(ours - expected) <= decimal.Decimal(2) ** -125, g
        # 256 in the last digit stands for "256 or more": another digit follows, as the law has no memory.
        again = exact(Fraction(int(survival[-1, 255]), scale))
        assert abs(again - failure**top) <= decimal.Decimal(2) ** -125
        # It must end: the chance to go on is at most half, or the gap exceeds every population.
        assert again <= exact(0.5) or top >= 2**32


def test_number_of_digits():
    assert [len(gap_table(p)) for p in (0.5, 1e-3, 1e-5, 1e-7, 1e-9, 1e-300)] == [1, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("seed", [0, 2**32, 2**63 - 1])
def test_a_line_does_not_depend_on_the_others(seed):
    """Row i (column i where the in-degree is fixed) is the same whatever the number of lines."""
    for reference in (False, True):
        for rule, options in (
            (BERNOULLI, dict(prob=0.3)),
            (FIXED_POST, dict(conn_num=6, n_selected=-1)),
        ):
            few, many = (
                draw(
                    Graph(rule, n, 50, seed=seed, **{**options, **sel(rule, n)}),
                    reference=reference,
                )
                for n in (9, 200)
            )
            assert all(np.array_equal(few.row(i), many.row(i)) for i in range(9))
        few, many = (
            draw(Graph(FIXED_PRE, 50, n, conn_num=6, n_selected=50, seed=seed), reference=reference)
            for n in (9, 200)
        )
        pre = np.repeat(np.arange(50), np.diff(many.indptr()))
        for post in range(9):
            expected = pre[many.indices() == post]
            sources = np.repeat(np.arange(50), np.diff(few.indptr()))[few.indices() == post]
            assert np.array_equal(sources, expected)


def sel(rule, n):
    return {} if rule == BERNOULLI else {"n_selected": n}


def test_seeds_rules_and_lanes_give_other_graphs():
    """Both words of the seed count, and no two rules share their numbers."""
    seeds = (0, 1, 2, 2**31, 2**32, 2**32 + 1, 2**62, 2**63 - 2, 2**63 - 1)
    seen = {}
    for seed in seeds:
        for graph in (
            Graph(BERNOULLI, 40, 40, prob=0.5, seed=seed),
            Graph(FIXED_POST, 40, 40, conn_num=20, n_selected=40, seed=seed),
            Graph(FIXED_PRE, 40, 40, conn_num=20, n_selected=40, seed=seed),
            Graph(FIXED_POST, 40, 40, conn_num=20, n_selected=40, seed=seed, lane=2),
            Graph(FIXED_TOTAL, 40, 40, conn_num=800, seed=seed),
            Graph(FIXED_TOTAL, 40, 40, conn_num=800, allow_multi=True, seed=seed),
            distance(40, 40, Box(0.5, 100.0), seed=seed),
        ):
            seen[draw(graph, reference=True).hash()] = graph
    assert len(seen) == 7 * len(seeds)


def test_in_degree_graph_is_no_transposed_out_degree_graph():
    post = draw(Graph(FIXED_POST, 30, 30, conn_num=9, n_selected=30, seed=1), reference=True)
    pre = draw(Graph(FIXED_PRE, 30, 30, conn_num=9, n_selected=30, seed=1), reference=True)
    dense = [np.zeros((30, 30), bool) for _ in range(2)]
    for matrix, rows in zip(dense, (post, pre)):
        for i in range(30):
            matrix[i, rows.row(i)] = True
    assert not np.array_equal(dense[0].T, dense[1])
