"""Numbers of a configuration are the same however they were written."""

import copy
from pathlib import Path

import pytest
import yaml
from snakemake.utils import validate
from support.bench_jobs import SCHEMA

from eventops.bench.kernels import jobs as kernel_jobs
from eventops.bench.networks import jobs as network_jobs
from eventops.bench.sweep import config_numbers
from eventops.bench.sweep import jobs as sweep

RULES = yaml.safe_load(SCHEMA.read_text())
NUMBER = {"name": "a", "operator": "EventFixedNumConn", "sizes": [100], "conn": [10]}
PROB = {"name": "a", "operator": "EventFixedProb", "sizes": [100], "conn": ["0.1"]}


def read(config):
    config = copy.deepcopy(config)
    config_numbers.read(config, RULES)
    validate(config, schema=str(SCHEMA))
    return config


def ids(config) -> list[str]:
    config = read(config)
    found = sweep.jobs(config, ["cpu"], {"reference": None, "cpu": None})
    return [*found, *kernel_jobs.jobs(config), *network_jobs.jobs(config)]


def leaves(node, *path):
    """Every numeric key of the schema: its path, and what its place says of it."""
    node = RULES["$defs"][node["$ref"].split("/")[-1]] if "$ref" in node else node
    if node.get("type") in ("integer", "number") or node.get("format") in ("proportion",):
        yield path, node
    for option in node.get("anyOf", ()):
        yield from leaves(option, *path)
    for key, inner in node.get("properties", {}).items():
        yield from leaves(inner, *path, key)
    if "items" in node:
        yield from leaves(node["items"], *path, 0)


NUMERIC = [(path, node) for path, node in leaves(RULES) if "conn" not in path]


def nested(path, value):
    """A configuration with this value in this place."""
    for key in reversed(path):
        value = [value] if key == 0 else {key: value}
    return value


def at(config, path):
    for key in path:
        config = config[key]
    return config


@pytest.mark.parametrize("path, node", NUMERIC, ids=lambda x: str(x)[:40])
def test_every_number_may_be_text(path, node):
    wanted = {"integer": 20, "number": 0.001}.get(node.get("type"), "0.001")
    texts = ["20", "2e1", "20.0", 20.0] if wanted == 20 else ["1e-3", "1E-3", "0.001", ".001"]
    for text in [*texts, wanted, 0.001 if wanted == "0.001" else wanted]:
        config = nested(path, text)
        config_numbers.read(config, RULES)
        found = at(config, path)
        assert found == wanted and type(found) is type(wanted)


def test_the_schema_has_as_many_numbers_as_are_tested():
    assert len(NUMERIC) > 25 and {path[0] for path, _ in NUMERIC} >= {"seed", "kernels", "networks"}


@pytest.mark.parametrize(
    "one, other",
    [
        (PROB, PROB | {"conn": [0.1]}),
        (PROB, PROB | {"conn": ["1e-1"]}),
        (PROB, PROB | {"conn": ["0.10"]}),
        (PROB | {"conn": [1]}, PROB | {"conn": ["1.0"]}),
        (PROB | {"rates": ["0.02"]}, PROB | {"rates": [2e-2]}),
        (PROB | {"rates": ["1", "0"]}, PROB | {"rates": [1.0, 0]}),
        (NUMBER, NUMBER | {"conn": ["10"]}),
        (NUMBER, NUMBER | {"conn": ["1e1"], "sizes": ["100"]}),
        (NUMBER | {"conn": ["1.0"]}, NUMBER | {"conn": [1.0]}),
        (NUMBER | {"conn": ["0.1"]}, NUMBER | {"conn": [0.1]}),
        (
            PROB | {"operator": "EventDistanceProb", "length": "0.1"},
            PROB | {"operator": "EventDistanceProb", "length": 1e-1},
        ),
        (
            NUMBER | {"operator": "EventSparse"},
            NUMBER | {"operator": "EventSparse", "conn": [10.0]},
        ),
        (
            NUMBER | {"operator": "EventFixedTotalNum", "conn": [1000]},
            NUMBER | {"operator": "EventFixedTotalNum", "conn": ["1e3"]},
        ),
        (NUMBER | {"allow_self_conn": False}, NUMBER | {"allow_self_conn": "false"}),
    ],
)
def test_one_point_has_one_name(one, other):
    assert ids({"sweep": [one]}) == ids({"sweep": [other]})


def test_settings_are_part_of_the_name_and_written_in_one_way():
    plain = {"measure": {"min_sample_s": 1e-4, "budget_s": 2e-2, "rounds": 5, "give_up_s": 5}}
    plain |= {"verify": {"p_value_min": 1e-6}, "seed": 3}
    plain |= {"kernels": [{"measure": "delays", "sizes": [[60, 6]], "rates": ["0.05"]}]}
    plain |= {"networks": [{"model": "coba", "sizes": [400], "segment_ms": 50}]}
    text = {"measure": "{min_sample_s: 1e-4, budget_s: 2E-2, rounds: '5', give_up_s: 5.0}"}
    text |= {"verify": {"p_value_min": "1e-6"}, "seed": "3"}
    text |= {"kernels": "[{measure: delays, sizes: [['60', 6]], rates: [5e-2]}]"}
    text |= {"networks": [{"model": "coba", "sizes": ["4e2"], "segment_ms": "50"}]}
    assert ids({"sweep": [NUMBER], **plain}) == ids({"sweep": [NUMBER], **text})


def test_one_partner_is_not_all_partners():
    assert ids({"sweep": [NUMBER | {"conn": [1]}]}) != ids({"sweep": [NUMBER | {"conn": [1.0]}]})


@pytest.mark.parametrize("value", ["010", "nan", "inf", "1,000", "one", "", "0x10", True, "5 5"])
def test_what_may_mean_something_else_is_left_to_the_schema(value):
    config = {"measure": {"rounds": value, "budget_s": value}, "sweep": [PROB | {"rates": [value]}]}
    before = copy.deepcopy(config)
    config_numbers.read(config, RULES)
    assert config == before


def test_reading_twice_changes_nothing():
    """Each job of Snakemake reads the configuration again."""
    path = Path(__file__).parents[3] / "config/config.yaml"
    config = read(yaml.safe_load(path.read_text()))
    again = copy.deepcopy(config)
    config_numbers.read(again, RULES)
    assert again == config


def test_committed_results_keep_their_names():
    for path in sorted(Path(__file__).parents[3].glob("results/reference-*/config.yaml")):
        config = yaml.safe_load(path.read_text())
        found = set(ids(config))
        assert {p.stem for p in path.parent.glob("records/*.json")} <= found
