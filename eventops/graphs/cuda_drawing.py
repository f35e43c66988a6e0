"""Drawing on an NVIDIA GPU: the same graphs as on the host, and the buffers that a block of threads needs for a line."""

import jax
import jax.numpy as jnp
import numpy as np

from ..core import cuda
from . import lattice
from .graph import BERNOULLI, DISTANCE, FIXED_PRE

# Bitmaps that fit shared memory (csrc/gpu/host/lines.h).
BITMAP_BYTES = 16 << 10
# Enough blocks to fill the largest device; their buffers together take at most so many bytes.
BLOCKS = 512
PARTIAL_BYTES = 64 << 20


def candidates(law) -> int:
    """How many neurons of the other side a line chooses from without repeats, and so marks those taken."""
    if law.allow_multi or law.rule in (BERNOULLI, DISTANCE):
        return 0
    if law.rule == FIXED_PRE:
        return law.n_in if law.n_selected == -1 else law.n_selected
    return law.n_out


def bitmaps(law, blocks: int) -> jax.ShapeDtypeStruct:
    """Bits for the partners of a line that are taken; some rules need none."""
    return bitmap(candidates(law), blocks)


def bitmap(n: int, blocks: int) -> jax.ShapeDtypeStruct:
    """A bit for each of n neurons, for each block, where that is too much for shared memory."""
    words = -(-n // 32)
    shape = (0,) if words * 4 <= BITMAP_BYTES else (blocks, words)
    return jax.ShapeDtypeStruct(shape, np.uint32)


def threads(law) -> np.int64:
    """How wide the blocks are that draw a graph: they draw two or four numbers of a line, or level of a lattice, at once."""
    n_lines, n_levels = law.n_out if law.rule == FIXED_PRE else law.n_in, 1
    if law.rule == DISTANCE:
        levels = lattice.levels(law.lattice)
        n_levels = max(1, levels.exponent.size // max(1, levels.classes.size - 1))
    length = law.expected_synapses() / n_lines / n_levels
    return np.int64(min(256, max(32, 32 * int(length // 128))))


def draw(law, arrays, attributes: dict, n_tiles: int):
    """Row pointers of a graph, and the function of their last one that draws the offsets.

    Parameters
    ----------
    law : Graph
    arrays, attributes
        What describes the graph to the native library.
    n_tiles : int
        Of the rows.
    """
    by_post = law.rule == FIXED_PRE
    words = -(-max(law.n_out, candidates(law)) // 32)
    blocks = min(4 * BLOCKS, law.n_out if by_post else law.n_in, PARTIAL_BYTES // (4 * words))
    blocks = max(1, blocks)
    attributes = attributes | dict(blocks=np.int64(blocks), threads=threads(law))

    def run(name, results, *more):
        def call(*args):
            return jax.ffi.ffi_call(cuda.target(name), results)(*args, **attributes)[0]

        with jax.disable_jit(False):
            return jax.jit(call)(*arrays, *more)

    counts = jax.ShapeDtypeStruct((law.n_in * n_tiles,), np.int32)
    bits = bitmaps(law, blocks)
    ptr = run("DrawCount", [counts, bits])
    ptr = jnp.concatenate([jnp.zeros(1, np.int32), jnp.cumsum(ptr, dtype=np.int32)])

    def fill(length):
        """Posts that are lines are put into their rows in any order first; repeats cannot be sorted there."""
        offsets = jax.ShapeDtypeStruct((length,), np.uint16)
        nothing = jax.ShapeDtypeStruct((0,), np.uint16)
        results = [offsets, bits, bitmap(0 if by_post else law.n_out, blocks)]
        results += [counts if by_post else jax.ShapeDtypeStruct((0,), np.int32)]
        results += [offsets if by_post and law.allow_multi else nothing]
        return run("DrawFill", results, ptr)

    return ptr, fill
