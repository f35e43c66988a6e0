"""Which kernel computes which product: one frozen table, and nothing else chooses.

A product is one of the three partial derivatives of the trilinear form
``sum_ij s[i] * w[i, j] * g[j]`` of spikes, weights and output cotangents: ``forward`` (by g),
``spike_cotangent`` (by s) and ``weight_cotangent`` (by w). A kind of storage is ``dense`` (a matrix),
``rows`` (:class:`eventops.rows.csr.Rows`), ``uniform`` (one number for all pairs), ``procedural`` (nothing but the
law of a random graph, :class:`eventops.graphs.graph.Graph`, and one weight) or ``generated`` (the same, and the law of random
weights, :class:`eventops.graphs.graph.Generated`). Delivery into rings of future currents is a kind with products
of its own, see ``delay_products.py``, and so is random drive, see ``drive_products.py``. ``update_on_pre`` and ``update_on_post`` change the weights of the neurons that
fire.

May import ``core``, ``rows`` and ``graphs``. Begin with ``reference.py``, the specification of all others.
"""

import functools
from types import MappingProxyType

from ..core import cuda, loader
from ..core.messages import shown
from . import (
    cpu,
    delayed_cpu,
    delayed_reference,
    drive_cpu,
    drive_reference,
    drive_spikes_reference,
    gpu,
    neurons_cpu,
    neurons_reference,
    reference,
)

BACKENDS = ("reference", "cpu", "gpu", "gpu-atomics")
# The platforms that a backend runs on; None for all. JAX's name of NVIDIA's is cuda.
PLATFORMS = {"reference": None, "cpu": ("cpu",), "gpu": ("cuda",), "gpu-atomics": ("cuda",)}

# Each entry takes (ctx-free) arrays and the static parameters; see products.py for their shapes.
IMPLEMENTATIONS = MappingProxyType(
    {
        ("dense", "forward", "reference"): reference.dense_forward,
        ("dense", "spike_cotangent", "reference"): reference.dense_spike_cotangent,
        ("dense", "weight_cotangent", "reference"): reference.dense_weight_cotangent,
        ("uniform", "forward", "reference"): reference.uniform_forward,
        ("uniform", "spike_cotangent", "reference"): reference.uniform_spike_cotangent,
        ("uniform", "weight_cotangent", "reference"): reference.uniform_weight_cotangent,
        ("rows", "forward", "reference"): reference.rows_forward,
        ("rows", "spike_cotangent", "reference"): reference.rows_spike_cotangent,
        ("rows", "weight_cotangent", "reference"): reference.rows_weight_cotangent,
        ("procedural", "forward", "reference"): reference.procedural_forward,
        ("procedural", "spike_cotangent", "reference"): reference.procedural_spike_cotangent,
        ("procedural", "weight_cotangent", "reference"): reference.procedural_weight_cotangent,
        ("generated", "forward", "reference"): reference.generated_forward,
        ("generated", "spike_cotangent", "reference"): reference.generated_spike_cotangent,
        ("generated", "weight_cotangent", "reference"): reference.generated_weight_cotangent,
        ("dense", "forward", "cpu"): cpu.dense_forward,
        ("dense", "spike_cotangent", "cpu"): cpu.dense_spike_cotangent,
        ("dense", "weight_cotangent", "cpu"): cpu.dense_weight_cotangent,
        # Every output is the same sum, so there is nothing for a kernel to do.
        ("uniform", "forward", "cpu"): reference.uniform_forward,
        ("uniform", "spike_cotangent", "cpu"): reference.uniform_spike_cotangent,
        ("uniform", "weight_cotangent", "cpu"): reference.uniform_weight_cotangent,
        ("rows", "forward", "cpu"): cpu.rows_forward,
        ("rows", "spike_cotangent", "cpu"): cpu.rows_spike_cotangent,
        ("rows", "weight_cotangent", "cpu"): cpu.rows_weight_cotangent,
        ("procedural", "forward", "cpu"): cpu.procedural_forward,
        ("procedural", "spike_cotangent", "cpu"): cpu.procedural_spike_cotangent,
        ("procedural", "weight_cotangent", "cpu"): cpu.procedural_weight_cotangent,
        ("generated", "forward", "cpu"): cpu.generated_forward,
        ("generated", "spike_cotangent", "cpu"): cpu.generated_spike_cotangent,
        ("generated", "weight_cotangent", "cpu"): cpu.generated_weight_cotangent,
        ("delayed", "deliver", "reference"): delayed_reference.deliver,
        ("delayed", "step", "reference"): delayed_reference.step,
        ("delayed", "swap", "reference"): delayed_reference.swap,
        ("delayed", "spike_cotangent", "reference"): delayed_reference.spike_cotangent,
        ("delayed", "weight_cotangent", "reference"): delayed_reference.weight_cotangent,
        ("delayed", "deliver", "cpu"): delayed_cpu.deliver,
        ("delayed", "step", "cpu"): delayed_cpu.step,
        ("delayed", "swap", "cpu"): delayed_cpu.swap,
        ("delayed", "spike_cotangent", "cpu"): delayed_cpu.spike_cotangent,
        ("delayed", "weight_cotangent", "cpu"): delayed_cpu.weight_cotangent,
        ("neurons", "step", "reference"): neurons_reference.step,
        ("neurons", "step", "cpu"): neurons_cpu.step,
        ("drive", "counts", "reference"): drive_reference.counts,
        ("drive", "current", "reference"): drive_reference.current,
        ("drive", "spikes", "reference"): drive_spikes_reference.spikes,
        ("drive", "counts", "cpu"): drive_cpu.counts,
        ("drive", "current", "cpu"): drive_cpu.current,
        ("drive", "spikes", "cpu"): drive_cpu.spikes,
        ("dense", "update_on_pre", "reference"): reference.dense_update_on_pre,
        ("dense", "update_on_post", "reference"): reference.dense_update_on_post,
        ("rows", "update_on_pre", "reference"): reference.rows_update_on_pre,
        ("rows", "update_on_post", "reference"): reference.rows_update_on_post,
        ("dense", "update_on_pre", "cpu"): cpu.dense_update_on_pre,
        ("dense", "update_on_post", "cpu"): cpu.dense_update_on_post,
        ("rows", "update_on_pre", "cpu"): cpu.rows_update_on_pre,
        ("rows", "update_on_post", "cpu"): cpu.rows_update_on_post,
        ("dense", "forward", "gpu"): gpu.dense_forward,
        ("dense", "spike_cotangent", "gpu"): gpu.dense_spike_cotangent,
        ("dense", "weight_cotangent", "gpu"): gpu.dense_weight_cotangent,
        ("uniform", "forward", "gpu"): reference.uniform_forward,
        ("uniform", "spike_cotangent", "gpu"): reference.uniform_spike_cotangent,
        ("uniform", "weight_cotangent", "gpu"): reference.uniform_weight_cotangent,
        ("rows", "forward", "gpu"): gpu.rows_forward,
        ("rows", "spike_cotangent", "gpu"): gpu.rows_spike_cotangent,
        ("rows", "weight_cotangent", "gpu"): gpu.rows_weight_cotangent,
        ("procedural", "forward", "gpu"): gpu.procedural_forward,
        ("procedural", "spike_cotangent", "gpu"): gpu.procedural_spike_cotangent,
        ("procedural", "weight_cotangent", "gpu"): gpu.procedural_weight_cotangent,
        ("generated", "forward", "gpu"): gpu.generated,
        ("generated", "spike_cotangent", "gpu"): gpu.generated,
        ("generated", "weight_cotangent", "gpu"): gpu.generated,
        ("dense", "forward", "gpu-atomics"): functools.partial(gpu.dense_forward, atomics=True),
        ("dense", "spike_cotangent", "gpu-atomics"): gpu.dense_spike_cotangent,
        ("dense", "weight_cotangent", "gpu-atomics"): gpu.dense_weight_cotangent,
        ("uniform", "forward", "gpu-atomics"): reference.uniform_forward,
        ("uniform", "spike_cotangent", "gpu-atomics"): reference.uniform_spike_cotangent,
        ("uniform", "weight_cotangent", "gpu-atomics"): reference.uniform_weight_cotangent,
        ("rows", "forward", "gpu-atomics"): functools.partial(gpu.rows_forward, atomics=True),
        ("rows", "spike_cotangent", "gpu-atomics"): gpu.rows_spike_cotangent,
        ("rows", "weight_cotangent", "gpu-atomics"): gpu.rows_weight_cotangent,
        ("procedural", "forward", "gpu-atomics"): functools.partial(
            gpu.procedural_forward, atomics=True
        ),
        ("procedural", "spike_cotangent", "gpu-atomics"): gpu.procedural_spike_cotangent,
        ("procedural", "weight_cotangent", "gpu-atomics"): gpu.procedural_weight_cotangent,
        ("generated", "forward", "gpu-atomics"): gpu.generated,
        ("generated", "spike_cotangent", "gpu-atomics"): gpu.generated,
        ("generated", "weight_cotangent", "gpu-atomics"): gpu.generated,
        ("dense", "update_on_pre", "gpu"): gpu.dense_update_on_pre,
        ("dense", "update_on_post", "gpu"): gpu.dense_update_on_post,
        ("rows", "update_on_pre", "gpu"): gpu.rows_update_on_pre,
        ("rows", "update_on_post", "gpu"): gpu.rows_update_on_post,
        ("dense", "update_on_pre", "gpu-atomics"): gpu.dense_update_on_pre,
        ("dense", "update_on_post", "gpu-atomics"): gpu.dense_update_on_post,
        ("rows", "update_on_pre", "gpu-atomics"): gpu.rows_update_on_pre,
        ("rows", "update_on_post", "gpu-atomics"): gpu.rows_update_on_post,
    }
)


def available() -> dict[str, str | None]:
    """Each backend with ``None``, or with the reason why it cannot run here."""
    on_gpu = cuda.unavailable()
    return {"reference": None, "cpu": loader.unavailable(), "gpu": on_gpu, "gpu-atomics": on_gpu}


def check(call: str, backend: str | None) -> str | None:
    """``backend`` itself, or the error that says what to ask for instead.

    Raises
    ------
    ValueError
        If there is no backend of that name.
    RuntimeError
        If the backend cannot run here.
    """
    if backend is None:
        return None
    if backend not in BACKENDS:
        names = ", ".join(repr(name) for name in BACKENDS)
        raise ValueError(
            f"{call}: unknown backend {shown(backend)}; use one of {names}, or None for the "
            "default of the device"
        )
    reason = available()[backend]
    if reason is not None:
        raise RuntimeError(f"{call}: backend {backend!r} cannot run here: {reason}")
    return backend
