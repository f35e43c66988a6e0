"""Make the reference that ships with eventops from a directory of results.

``python -m eventops.bench.ship results/<machine>`` keeps of ``tables/points.csv`` and ``machine.json`` what
`eventops.recommend` reads, in ``eventops/advice/measured/``.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
from pathlib import Path

from eventops.advice import cost
from eventops.advice.measured_tables import SHIPPED
from eventops.bench.records import record

COLUMNS = (
    "job operator backend device n_pre n_post conn_kind conn n_synapses dtype storage weight rate batch mode method "
    "events synaptic_events status t_median_s t_lo_s t_hi_s bytes_stored"
).split()
FACTS = (
    "slug cpu isa n_cores memory_bytes caches gpu versions eventops read_bandwidth_bytes_per_s generated_at"
).split()


def ship(results: Path, target: Path = SHIPPED) -> int:
    """Write the reference; returns the number of points in it."""
    rows = cost.usable(cost.read(results / "tables/points.csv"))
    if not rows:
        raise ValueError(f"ship: {results} has no measured point; run snakemake --cores all first")
    facts = json.loads((results / "machine.json").read_text(encoding="utf-8"))
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: _short(name, row[name]) for name in COLUMNS})
    (target / "tables").mkdir(parents=True, exist_ok=True)
    record.write_text(target / "tables/points.csv", text.getvalue())
    kept = {name: facts.get(name) for name in FACTS}
    record.write_text(target / "machine.json", json.dumps(kept, indent=1) + "\n")
    return len(rows)


def _short(name: str, text: str) -> str:
    """Four digits of a time are more than it is known to."""
    if not name.startswith("t_") or not text or math.isnan(float(text)):
        return text
    return f"{float(text):.4g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="such as results/<machine>")
    print(f"{ship(parser.parse_args().results)} points: {SHIPPED}")
