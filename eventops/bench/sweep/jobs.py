"""From a configuration to jobs.

A job is one operator on one backend, device, size, connectivity, dtype, storage and kind of weight. Its
rates, batches and modes are swept inside one process. The id of a job is readable and ends in a hash of
all that its record depends on, so that a changed value gives a new file and leaves the others alone.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from decimal import Decimal
from typing import Any

from eventops.bench.sweep import connectome, spaces

DENSE = ("Linear", "EventLinear")
CONN_KIND = {
    "Linear": "dense",
    "EventLinear": "dense",
    "EventFixedProb": "prob",
    "FixedNumConn": "num",
    "EventFixedNumConn": "num",
    "EventFixedTotalNum": "total",
    "EventDistanceProb": "distance",
    "EventSparse": "given",
}
# The operators that take backend=; the others are plain jax.numpy everywhere.
HAS_BACKEND = tuple(name for name in CONN_KIND if name != "Linear")


def jobs(
    config: dict[str, Any], devices: list[str], unavailable: dict[str, str | None]
) -> dict[str, dict[str, Any]]:
    """Expand a validated configuration to jobs.

    Parameters
    ----------
    config
        The configuration, with its defaults filled in by the schema.
    devices
        The devices to run on, from `eventops.bench.records.machine.devices`.
    unavailable
        Backend to ``None`` where it can run, or to the reason why it cannot
        (`eventops.backends.available`).

    Returns
    -------
    dict
        Job id to job, in the order of the configuration.

    Raises
    ------
    ValueError
        For a value that makes no sense for its operator; the message names block, key and fix.
    """
    result: dict[str, dict[str, Any]] = {}
    names = [block["name"] for block in config["sweep"]]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"config: two blocks of sweep are named {name!r}; give each its own name"
            )
    for block in config["sweep"]:
        for job in _expand(block, config, devices, unavailable):
            result.setdefault(job["id"], job)
    if not result:
        raise ValueError(
            f"config: no job is left on devices {devices}; add a backend that runs on one of them"
        )
    return result


def _expand(block, config, devices, unavailable):
    operator = block["operator"]
    where = f"config: block {block['name']!r}"
    _check(block, where)
    _check_storage(block, where)
    for key in ("rates", "conn"):
        _distinct(block.get(key, []), f"{where}: {key}")
    for device, backend, size, conn, target, dtype, storage, weight in itertools.product(
        devices,
        block["backends"],
        block["sizes"],
        block.get("conn", [""]),
        block["efferent_target"] if CONN_KIND[operator] == "num" else ["post"],
        block["dtypes"],
        block["storage"],
        block["weights"],
    ):
        backend = _backend(operator, backend, device, unavailable, where)
        if backend is None:
            continue
        n_pre, n_post = (size, size) if isinstance(size, int) else size
        if weight == "auto":
            weight = "per-synapse" if operator in DENSE else "homogeneous"
        job = {
            "operator": operator,
            "backend": backend,
            "device": device,
            "n_pre": n_pre,
            "n_post": n_post,
            "conn_kind": CONN_KIND[operator],
            "conn": str(conn),
            "efferent_target": target,
            "allow_self_conn": block["allow_self_conn"],
            "allow_multi_conn": block["allow_multi_conn"],
            "dtype": dtype,
            "storage": "dense" if operator in DENSE else storage,
            "weight": weight,
            "seed": config["seed"],
            "rates": [str(rate) for rate in block["rates"]],
            "batches": list(block["batches"]),
            "modes": list(block["modes"]),
            "peers": list(block.get("peers", config["peers"])),
            "measure": dict(config["measure"]),
            "verify": dict(config["verify"]),
        }
        if CONN_KIND[operator] == "distance":
            job |= {key: block.get(key, default) for key, default in spaces.DEFAULTS.items()}
            _check_space(job, where)
        _check_distinct(job, where)
        yield {"id": job_id(job), **job}


def _check(block: dict, where: str) -> None:
    """Refuse what the schema cannot: combinations that mean nothing."""
    operator, kind = block["operator"], CONN_KIND[block["operator"]]
    conn = block.get("conn")
    if kind == "dense" and conn is not None:
        raise ValueError(f"{where}: {operator} is dense and has no conn; remove the key")
    if kind != "dense" and conn is None:
        raise ValueError(
            f"{where}: {operator} needs conn, a list of connection numbers or probabilities"
        )
    if kind in ("prob", "distance"):
        for value in conn:
            if Decimal(str(value)) > 1:
                raise ValueError(
                    f"{where}: conn {value!r} is no probability; for a number of partners use "
                    "operator EventFixedNumConn"
                )
    if kind == "given":
        if any("." in str(value) for value in conn):
            raise ValueError(
                f"{where}: conn of EventSparse is a mean out-degree; use a whole number"
            )
        if not block["allow_self_conn"]:
            raise ValueError(
                f"{where}: allow_self_conn belongs to random rules, not to EventSparse; remove it"
            )
    if kind != "num" and block["efferent_target"] != ["post"]:
        raise ValueError(
            f"{where}: efferent_target belongs to FixedNumConn and EventFixedNumConn, not to {operator}; remove it"
        )
    if kind not in ("num", "total") and block["allow_multi_conn"]:
        raise ValueError(
            f"{where}: allow_multi_conn belongs to FixedNumConn, EventFixedNumConn and EventFixedTotalNum, not to "
            f"{operator}; remove it"
        )
    spatial = [key for key in spaces.DEFAULTS if key in block]
    if kind != "distance" and spatial:
        raise ValueError(
            f"{where}: {spatial[0]} belongs to EventDistanceProb, not to {operator}; remove it"
        )


def _check_space(job: dict, where: str) -> None:
    """Refuse numbers of neurons that do not fill the space."""
    for name in ("n_pre", "n_post"):
        try:
            spaces.shape(job["space"], job[name])
        except ValueError as error:
            raise ValueError(f"{where}: sizes: {error}") from None


def _check_distinct(job: dict, where: str) -> None:
    """Refuse more distinct partners, or pairs, than there are: the operator would, but in the middle of a sweep."""
    if job["allow_multi_conn"] or job["conn_kind"] not in ("num", "total"):
        return
    if job["conn_kind"] == "total":
        wanted, offered, what = total(job), _pairs(job), "pairs"
    else:
        side = "n_post" if job["efferent_target"] == "post" else "n_pre"
        wanted, offered, what = partners(job), job[side] - (not job["allow_self_conn"]), "partners"
    if wanted > offered:
        size = f"{job['n_pre']} x {job['n_post']}"
        raise ValueError(
            f"{where}: conn {job['conn']} needs {wanted} distinct {what}, but at size {size} there are {offered}; take "
            "a smaller conn or larger sizes, or set allow_multi_conn: true"
        )


def _check_storage(block: dict, where: str) -> None:
    """Refuse graphs that no operator can draw on every call; `eventops.operators.storage` says why."""
    if "procedural" not in block["storage"]:
        return
    operator = block["operator"]
    if operator in DENSE:
        raise ValueError(f"{where}: {operator} is dense and draws no graph; remove storage")
    if CONN_KIND[operator] == "given":
        raise ValueError(f"{where}: {operator} is given its synapses; use storage [sparse]")
    if "pre" in block["efferent_target"]:
        raise ValueError(
            f"{where}: storage procedural cannot have efferent_target pre; put the fan-in into a block of its "
            "own with storage [sparse]"
        )
    if "per-synapse" in block["weights"]:
        raise ValueError(
            f"{where}: storage procedural has one weight for all synapses; put weights per-synapse into a "
            "block of its own with storage [sparse]"
        )


def _distinct(values: list, where: str) -> None:
    """Refuse 0.1 beside 0.10: two names of one point would be measured twice and drawn on each other."""
    seen: dict[tuple, Any] = {}
    for value in values:
        key = (isinstance(value, str) and "." in value, Decimal(str(value)))
        if key in seen:
            raise ValueError(f"{where} has {seen[key]!r} and {value!r}, the same number; keep one")
        seen[key] = value


def _backend(operator, backend, device, unavailable, where) -> str | None:
    """The backend that runs on the device, or None where the pair makes no job."""
    if operator not in HAS_BACKEND:
        return "reference"
    if backend == "default":
        # Kernels are named after their device; where those of the CPU were not built, the reference serves.
        reason = unavailable.get(device, "this version of eventops has no such backend")
        if reason is not None and device == "gpu":
            raise ValueError(
                f"{where}: the kernels for the GPU cannot run: {reason}; or leave the GPU out with devices: [cpu]"
            )
        return device if reason is None else "reference"
    if backend != "reference" and backend.split("-")[0] != device:
        return None
    reason = unavailable.get(backend, "this version of eventops has no such backend")
    if reason is not None:
        raise ValueError(f"{where}: backend {backend!r} is not available: {reason}")
    return backend


def job_id(job: dict[str, Any]) -> str:
    """A readable name and a hash of all that the job's record depends on."""
    content = {key: value for key, value in job.items() if key != "id"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    place = (
        job["backend"] if job["backend"] == job["device"] else f"{job['backend']}.{job['device']}"
    )
    conn = job["conn_kind"] + job["conn"]
    if job["efferent_target"] == "pre":
        conn += ".pre"
    if job["conn_kind"] == "distance":
        conn += f".{job['profile']}{job['length']}.{job['space']}"
    conn += ".multi" if job["allow_multi_conn"] else ""
    conn += "" if job["allow_self_conn"] else ".noself"
    parts = [job["operator"], place, f"{job['n_pre']}x{job['n_post']}", conn, job["dtype"]]
    parts += [job["storage"]] if job["storage"] != "dense" else []
    return "-".join([*parts, job["weight"], digest])


def partners(job: dict[str, Any]) -> int:
    """The fixed number of partners of a fixed-number job; a proportion is rounded to nearest."""
    pool = job["n_post"] if job["efferent_target"] == "post" else job["n_pre"]
    if "." not in job["conn"]:
        return int(job["conn"])
    return int((Decimal(job["conn"]) * pool).to_integral_value())


def total(job: dict[str, Any]) -> int:
    """The number of synapses of a job with a fixed total; a proportion of the pairs is rounded to nearest."""
    if "." not in job["conn"]:
        return int(job["conn"])
    return int((Decimal(job["conn"]) * _pairs(job)).to_integral_value())


def _pairs(job: dict[str, Any]) -> int:
    n_pre, n_post = job["n_pre"], job["n_post"]
    return n_pre * n_post - (0 if job["allow_self_conn"] else min(n_pre, n_post))


def expected_synapses(job: dict[str, Any]) -> int:
    """The number of synapses: exact for dense, given and fixed-number rules, the mean for probabilities."""
    n_pre, n_post = job["n_pre"], job["n_post"]
    if job["conn_kind"] == "dense":
        return n_pre * n_post
    if job["conn_kind"] == "num":
        return partners(job) * (n_pre if job["efferent_target"] == "post" else n_post)
    if job["conn_kind"] == "total":
        return total(job)
    if job["conn_kind"] == "given":
        return int(connectome.degrees(job).sum())
    if job["conn_kind"] == "distance":
        return round(spaces.expected_synapses(job))
    return round(_pairs(job) * float(job["conn"]))


def item_bytes(dtype: str) -> int:
    """Bytes of one number."""
    return {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}[dtype]
