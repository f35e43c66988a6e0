"""Random input as part of larger things: windows, shards, loops, exported programs, and calls that are wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operators.test_drive import at
from support.cases import native, run_python

import eventops as nn
from eventops import backends
from eventops.core import loader

pytestmark = pytest.mark.unoptimized


def test_windows_and_shards():
    mean, weight = np.linspace(0, 5, 96), np.linspace(1, 2, 96)
    drive = nn.PoissonInput(96, mean, weight, seed=6)
    _, whole = drive.step(at(5))
    for first, size in ((0, 96), (1, 70), (65, 31), (95, 1), (10, 0)):
        part = drive.window(first, size)
        np.testing.assert_array_equal(part.step(at(5))[1], whole[first : first + size])
    part = drive.window(20, 50).window(7, 9)
    np.testing.assert_array_equal(part.step(at(5))[1], whole[27:36])
    traced = jax.jit(lambda first: drive.window(first, 12).step(at(5))[1])(30)
    np.testing.assert_array_equal(traced, whole[30:42])


def test_shard_map():
    code = """
import jax, jax.numpy as jnp, numpy as np, eventops as nn
from jax.sharding import PartitionSpec as P
drive = nn.PoissonInput(96, np.linspace(0, 5, 96), 0.5, seed=6)
state = drive.init_state()
whole = drive.step(state)[1]
mesh = jax.make_mesh((4,), ("x",))
def part(state):
    return drive.window(jax.lax.axis_index("x") * 24, 24).step(state)[1]
found = jax.shard_map(part, mesh=mesh, in_specs=P(), out_specs=P("x"))(state)
np.testing.assert_array_equal(found, whole)
split = jax.sharding.NamedSharding(mesh, P("x"))
into = jax.device_put(jnp.ones(96), split)
found = jax.jit(lambda s, x: drive.step(s, into=x)[1], out_shardings=split)(state, into)
np.testing.assert_array_equal(found, whole + 1)
print("same")
"""
    done = run_python(code, XLA_FLAGS="--xla_force_host_platform_device_count=4")
    assert done.stdout.strip() == "same", done.stderr[-3000:]


@native
def test_a_current_is_added_to_in_place():
    """In a loop no copy of it is made."""
    drive = nn.PoissonInput((5000, 3), (0.3, 2.0), 0.5)

    def one(carry, _):
        state, current = carry
        state, current = drive.step(state, into=current)
        return (state, current), ()

    def run(carry):
        return jax.lax.scan(one, carry, length=10)[0]

    start = (drive.init_state(), jnp.zeros(5003))
    text = jax.jit(run, donate_argnums=0).lower(start).compile().as_text()
    assert "eventops_PoissonCurrent" in text
    copies = [line for line in text.splitlines() if "copy(" in line and "f32[5003" in line]
    assert not copies, copies


def test_keys_and_traced_seeds():
    keys = jax.random.split(jax.random.key(0), 3)
    drives = nn.PoissonInput(40, 3.0, seed=keys)
    _, many = drives.step(at(0))
    assert many.shape == (3, 40) and np.any(many[0] != many[1])
    words = np.asarray(jax.random.key_data(keys[1]), np.uint64)
    if words[0] < 2**31:
        alone = nn.PoissonInput(40, 3.0, seed=int(words[0] << np.uint64(32) | words[1]))
        np.testing.assert_array_equal(alone.step(at(0))[1], many[1])
    traced = jax.jit(lambda seed: nn.PoissonInput(40, 3.0, seed=seed).step(at(0))[1])(7)
    np.testing.assert_array_equal(traced, nn.PoissonInput(40, 3.0, seed=7).step(at(0))[1])
    again = nn.PoissonInput(40, 3.0).with_seed(7).step(at(0))[1]
    np.testing.assert_array_equal(again, traced)


def test_nothing_to_draw():
    for drive in (nn.PoissonInput(0, 1.0), nn.PoissonInput(5, 1.0, seed=np.zeros(0, int))):
        state, current = drive.step(drive.init_state())
        assert current.size == 0 and state.tolist() == [1, 0]
        assert drive.counts(state)[1].size == 0
    with pytest.raises(AttributeError, match="immutable"):
        drive.mean = 3.0
    assert "PoissonInput(5" in repr(drive) and "traced" in str(jax.tree.map(lambda x: None, drive))


def test_a_backend_that_is_not_here():
    assert backends.available()["reference"] is None
    drive = nn.PoissonInput(5, 1.0, backend="reference")
    assert drive.step(drive.init_state())[1].shape == (5,)


def test_drives_in_exported_programs_and_split():
    """They are arguments of a program that is written to a file, and pytrees like the operators."""
    import jax.export

    drive = nn.PoissonInput(30, np.linspace(0, 3, 30), 0.5, seed=2)
    sources = nn.PoissonSpikes(30, 0.4, seed=2)

    def step(drive, sources, state):
        return drive.step(state)[1], sources.step(state)[1]

    kernels = [loader.target(name) for name in ("PoissonCurrent", "PoissonSpikes")]
    allowed = [jax.export.DisabledSafetyCheck.custom_call(name) for name in kernels]
    exported = jax.export.export(jax.jit(step), disabled_checks=allowed)(drive, sources, at(3))
    program = exported.serialize()
    found = jax.export.deserialize(program).call(drive, sources, at(3))
    for a, b in zip(found, step(drive, sources, at(3))):
        np.testing.assert_array_equal(a, b)
    weights, merge = nn.split({"drive": drive})
    assert set(weights) == {"drive.mean", "drive.weight"}
    np.testing.assert_array_equal(merge(weights)["drive"].step(at(3))[1], found[0])


@native
def test_wrong_operands_of_the_handlers_are_refused():
    """By name, without a crash, whoever calls them."""
    u32 = np.uint32
    right = {
        "counter": np.zeros((1, 2), u32),
        "seed": np.zeros((1, 2), u32),
        "first": np.zeros(1, u32),
        "mean": np.ones((1, 1), np.float32),
    }
    wrong = (
        {"counter": np.zeros((1, 3), u32)},
        {"seed": np.zeros((3, 2), u32)},
        {"first": np.zeros((1, 1), u32)},
        {"first": np.zeros(1, np.int32)},
        {"mean": np.ones((1, 4), np.float32)},
        {"mean": np.ones((1, 1), np.float16)},
    )
    out = jax.ShapeDtypeStruct((2, 5), "int32")
    call = jax.jit(jax.ffi.ffi_call(loader.target("PoissonCounts"), out))
    assert call(*right.values()).shape == (2, 5)
    for other in wrong:
        with pytest.raises(Exception, match="eventops: "):
            call(*{**right, **other}.values()).block_until_ready()
    current = jax.ffi.ffi_call(
        loader.target("PoissonCurrent"), jax.ShapeDtypeStruct((2, 5), "float32")
    )
    none, weight = np.zeros(0, np.float32), np.ones((1, 1), np.float32)
    for into, w in (
        (np.zeros((2, 4), np.float32), weight),
        (none, np.ones((1, 3), np.float32)),
        (none, np.ones((1, 1), np.float16)),
        (np.zeros(0, np.float16), weight),
    ):
        with pytest.raises(Exception, match="eventops: "):
            jax.jit(current)(into, w, *right.values()).block_until_ready()
