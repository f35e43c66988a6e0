"""Configurations and jobs for the tests of the benchmark: small, with the schema's defaults."""

from pathlib import Path

from snakemake.utils import validate

from eventops.bench.sweep import jobs as sweep

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"

QUICK = {
    "rounds": 3,
    "min_sample_s": 1e-5,
    "budget_s": 0.02,
    "warmup": 1,
    "scan_steps": 3,
    "spike_vectors": 2,
}


def config(*blocks, **more) -> dict:
    """A validated configuration of these blocks."""
    named = [{"name": f"block{i}", **block} for i, block in enumerate(blocks)]
    result = {"sweep": named, "measure": dict(QUICK), **more}
    validate(result, schema=str(SCHEMA))
    return result


def jobs(*blocks, **more) -> dict:
    """The jobs of these blocks on a CPU whose native library is there."""
    return sweep.jobs(config(*blocks, **more), ["cpu"], {"reference": None, "cpu": None})


def job(operator: str, n=60, **block) -> dict:
    """The only job of one block."""
    defaults = {"sizes": [n], "rates": ["0.1"], "backends": ["reference"], "operator": operator}
    if operator == "EventFixedProb":
        defaults["conn"] = ["0.2"]
    elif operator.endswith("FixedNumConn"):
        defaults["conn"] = [7]
    elif operator == "EventFixedTotalNum":
        defaults["conn"] = [500]
    elif operator == "EventSparse":
        defaults |= {"conn": [9], "sizes": [[60, 45]]}
    elif operator == "EventDistanceProb":
        defaults |= {"conn": ["0.6"], "sizes": [64]}
    (only,) = jobs(defaults | block).values()
    return only
