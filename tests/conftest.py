"""Settings of the whole suite: nothing is promoted silently, float64 only where a test asks for it."""

import os
import sys
import zlib

# One device, the CPU, whatever the machine has, unless `-m gpu` asks for the others; before JAX is imported.
os.environ.setdefault("JAX_PLATFORMS", "cuda,cpu" if "gpu" in sys.argv else "cpu")

import hypothesis
import jax
import pytest

# Helpers and tools, some of which want processes of their own.
collect_ignore = ["support"]

_CONFIG = {
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_enable_x64": False,
    "jax_disable_most_optimizations": False,
}
# Files that take minutes begin first, so that no worker is left alone with one in the end.
LONGEST = ("test_workflow", "test_faults", "test_transforms", "test_threads", "test_properties")

hypothesis.settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=100,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.register_profile("long", deadline=None, max_examples=2000)
hypothesis.settings.register_profile(
    "nightly",
    deadline=None,
    database=None,
    max_examples=2000,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config):
    config.addinivalue_line("markers", "x64: runs with jax_enable_x64 on")
    config.addinivalue_line("markers", "gpu: needs an NVIDIA GPU (-m gpu runs them)")
    config.addinivalue_line("markers", "slow: runs the whole workflow; minutes")
    config.addinivalue_line("markers", "unoptimized: XLA compiles fast and not well")
    config.addinivalue_line("markers", "nightly: takes many minutes; runs with --nightly only")
    # A warning of ours is an error, except where a test expects it.
    config.addinivalue_line("filterwarnings", "error:eventops")
    # So is one that our code causes: what it calls will be gone in a later release of JAX, NumPy or pandas.
    for kind in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning"):
        config.addinivalue_line("filterwarnings", f"error::{kind}:eventops")


# The files whose tests are the product of a table of cases and much else, and the share of them that --quick runs.
QUICK = {
    "test_transforms": 24,
    "test_plasticity": 20,
    "test_sparse": 10,
    "test_operators": 12,
    "test_delays": 12,
    "test_gpu": 12,
    "test_weights": 4,
    "test_staging": 8,
    "test_native": 4,
    "test_csr": 6,
    "test_procedural": 6,
    "test_verify": 8,
    "test_figures": 6,
    "test_measure": 2,
    "test_sharded": 4,
    "test_lattice": 6,
    "test_neurons": 8,
    "test_repr": 12,
    "test_byte_order": 8,
    "test_constants": 6,
    "test_exports": 6,
    "test_entry_order": 6,
    "test_structure": 4,
    "test_settings": 4,
    "test_drive": 3,
    "test_drive_spikes": 2,
    "test_drive_statistics": 3,
    "test_drawing": 2,
    "test_drawing_statistics": 2,
    "test_rules_statistics": 2,
}


def _left_out(item) -> bool:
    """Chosen by name, so that the same ones run everywhere and whatever is added elsewhere."""
    share = QUICK.get(item.path.stem, 1)
    return zlib.crc32(item.nodeid.encode()) % share != 0


def pytest_addoption(parser):
    parser.addoption(
        "--quick",
        action="store_true",
        help="run a fixed sample of the tests that cross large tables",
    )
    parser.addoption(
        "--nightly", action="store_true", help="run the tests that take many minutes, too"
    )


def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: item.path.stem not in LONGEST)
    if config.getoption("--quick"):
        config.hook.pytest_deselected(items=[item for item in items if _left_out(item)])
        items[:] = [item for item in items if not _left_out(item)]
    if not config.getoption("--nightly"):
        for item in items:
            if item.get_closest_marker("nightly"):
                item.add_marker(pytest.mark.skip(reason="takes many minutes; run with --nightly"))


@pytest.fixture(autouse=True)
def _settings(request):
    """The same configuration for every test, whatever the one before left behind."""
    for name, value in _CONFIG.items():
        jax.config.update(name, value)
    # Thousands of small programs are compiled and run once: compiling them well takes most of the time, and what XLA
    # makes of a program is not what is tested there.
    unoptimized = request.node.get_closest_marker("unoptimized") is not None
    jax.config.update("jax_disable_most_optimizations", unoptimized)
    with jax.enable_x64(request.node.get_closest_marker("x64") is not None):
        yield
    for name, value in _CONFIG.items():
        jax.config.update(name, value)
