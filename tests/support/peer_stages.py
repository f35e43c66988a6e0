"""Every stage that meets peers, in a process whose peers are broken: ``python tests/support/peer_stages.py FOLDER [WHEN]``.

``tests/bench/peers/test_foreign.py`` starts it with fakes of brainevent, brainstate and numba on the path, and reads what it
writes: the record of each stage, the page, and an answer of ``recommend``. With WHEN a peer that is not traced by JAX breaks
in its own step: ``raise`` or ``end``, after so many calls as ``WHEN`` says (``raise:30``).
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

import eventops
from eventops.bench.kernels import jobs as kernel_jobs
from eventops.bench.kernels import table as kernels_table
from eventops.bench.measure import measure
from eventops.bench.peers import apart, generators, peers
from eventops.bench.records import record
from eventops.bench.report import report
from eventops.bench.tables import table
from eventops.bench.verify import verify
from support import bench_jobs

SETTINGS = {"rounds": 4, "warmup": 1, "min_sample_s": 1e-5, "budget_s": 0.05, "give_up_s": 5.0}
PLASTICITY = {"measure": "plasticity", "sizes": [[60, 6]], "rates": ["0.05"]}
JOB = {"rates": ["0.1", "0.2"], "peers": ["jnp-dense", "brainevent", "scipy-csr"]}


def breaks(how: str, after: int):
    """The adapter of a peer that computes the right product, and breaks in one of its calls."""

    def adapter(op, job):
        dense, calls = np.asarray(op.todense()), [0]

        def step(_, spikes):
            calls[0] += 1
            if calls[0] > after:
                if how == "end":
                    os._exit(9)
                raise SystemExit("enough")
            return spikes.astype(dense.dtype) @ dense

        return peers.Peer(None, step, lambda s: s, dense.nbytes, True, False)

    return adapter


def stages() -> dict:
    """All records."""
    job = bench_jobs.job("EventFixedNumConn", modes=["call"], **JOB)
    verified = verify.run(job)
    (kernel,) = kernel_jobs.jobs({"seed": 1, "measure": SETTINGS, "kernels": [PLASTICITY]}).values()
    keep = ("brainevent JITCScalarR", "brainstate")
    drawn = {name: generators.GENERATORS[name] for name in keep}
    return {
        "verify": verified,
        "record": measure.run(job, verified),
        "kernel": kernel_jobs.run(kernel),
        "generators": generators.run(drawn),
    }


def main(folder: Path, when: str) -> None:
    if when:
        how, _, after = when.partition(":")
        peers.ADAPTERS["brainevent"] = breaks(how, int(after))
    found = apart.run(stages)
    for kind, content in found.items():
        record.load(record.write(folder / f"{kind}.json", kind, content), kind)
    pairs = [(found["verify"], found["record"])]
    machine = {"slug": "here", "python": "3.11.7", "versions": found["generators"]["versions"]}
    frames = (
        table.points(pairs, machine),
        table.jobs(pairs, machine, ["x"]),
        table.checks([pairs[0][0]]),
    )
    table.write(frames[0], folder / "tables/points.csv")
    frames = (table.read(folder / "tables/points.csv", "points"), *frames[1:])
    record.write(folder / "machine.json", "machine", machine)
    assert table.failures(*frames[:2]) == []
    assert found["kernel"]["versions"] == found["record"]["versions"]
    kernels = kernels_table.frame([found["kernel"]])
    assert kernels_table.failures(kernels) == []
    page = folder / "report.html"
    report.write(
        *frames, machine, folder, {}, page, generators=found["generators"], kernels=kernels
    )
    said = eventops.recommend(60, 60, rate=0.1, conn_num=7, mode="call", results=folder)
    (folder / "recommend.txt").write_text(str(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(sys.argv[2:] or [""]))
    print(json.dumps("done"))
