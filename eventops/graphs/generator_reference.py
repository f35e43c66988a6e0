"""The lines of generator version 1 in NumPy: the specification that ``csrc/cpu/lines.h`` is tested against.

Every line takes the words of its own Philox stream in order. Here all lines advance together, one word (or
one 64-bit number) a step; a line that has finished drops out.
"""

import numpy as np

from .graph import WEIGHTS

_STREAM_VERSION = 1 << 16
_LINES_AT_ONCE_BYTES = 1 << 27


def philox(seed: int, block, line, lane: int, stream: int) -> np.ndarray:
    """Philox4x32-10 (Salmon et al. 2011): four words for each block of each line.

    Parameters
    ----------
    seed : int
        The key, 64 bits.
    block, line : arrays of int, broadcast against each other
    lane, stream : int
        The other two counter words.

    Returns
    -------
    array of uint32, shape (..., 4)
    """
    block, line = np.broadcast_arrays(np.asarray(block, np.uint64), np.asarray(line, np.uint64))
    c0, c1 = block.copy(), line.copy()
    c2 = np.full(block.shape, lane, np.uint64)
    c3 = np.full(block.shape, stream, np.uint64)
    low = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c0
        p1 = np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (p1 >> shift) ^ c1 ^ np.uint64(k0),
            p1 & low,
            (p0 >> shift) ^ c3 ^ np.uint64(k1),
            p0 & low,
        )
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def weight_words(graph, pre: np.ndarray, post: np.ndarray) -> np.ndarray:
    """The random word of each synapse's weight: uint32, shape (n_synapses,). Synapses are in (pre, post) order."""
    n = post.size
    again = np.zeros(n, bool)
    again[1:] = (pre[1:] == pre[:-1]) & (post[1:] == post[:-1])
    place = np.arange(n)
    repeat = place - np.maximum.accumulate(np.where(again, 0, place))
    words = np.zeros(n, np.uint32)
    at_once = _LINES_AT_ONCE_BYTES // 128
    for r in np.unique(repeat):
        lane = WEIGHTS + (int(r) << 8)
        which = np.flatnonzero(repeat == r)
        for start in range(0, which.size, at_once):
            some = which[start : start + at_once]
            words[some] = philox(graph.seed, post[some], pre[some], lane, _stream(graph))[:, 0]
    return words


def _stream(graph) -> int:
    return graph.rule | _STREAM_VERSION


def _word(graph, lines, index: int) -> np.ndarray:
    return philox(graph.seed, index // 4, lines, graph.lane, _stream(graph))[..., index % 4]


def _number(graph, lines, index: int) -> np.ndarray:
    """The 64-bit number at this index of each line."""
    words = philox(graph.seed, index // 2, lines, graph.lane, _stream(graph)).astype(np.uint64)
    pair = words[..., 2 * (index % 2) : 2 * (index % 2) + 2]
    return pair[..., 0] | pair[..., 1] << np.uint64(32)


def _numbers(graph, lines, index, lane: int) -> np.ndarray:
    """The 64-bit numbers at these places of these lines, in another lane."""
    words = philox(graph.seed, index // 2, lines, lane, _stream(graph)).astype(np.uint64)
    even = index % 2 == 0
    low, high = (np.where(even, words[..., w], words[..., w + 2]) for w in (0, 1))
    return low | high << np.uint64(32)


def _digit(graph, table, lines, index: int) -> np.ndarray:
    """The number of thresholds of ``table`` (256, 4) above a uniform 128-bit fraction."""
    words = table.astype(np.uint64)
    high = words[:, 2] | words[:, 3] << np.uint64(32)
    upper = _number(graph, lines, index)
    rising = high[::-1]
    digit = 256 - np.searchsorted(rising, upper, side="right")
    ties = np.flatnonzero(np.searchsorted(rising, upper, side="left") != 256 - digit)
    low = words[:, 0] | words[:, 1] << np.uint64(32)
    for i in ties:
        second = philox(graph.seed, index, lines[i], 1, _stream(graph)).astype(np.uint64)
        number = second[0] | second[1] << np.uint64(32)
        while digit[i] < 256 and high[digit[i]] == upper[i] and number < low[digit[i]]:
            digit[i] += 1
    return digit


def bernoulli(graph, tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pre and post of every synapse, in (pre, post) order; ``tables`` from ``random.gap_table``."""
    lines = np.arange(graph.n_in)
    skip = 0 if graph.allow_self else 1
    n = graph.n_out - skip
    position = np.zeros(graph.n_in, np.int64)  # the first candidate that is not yet decided
    gap = np.zeros(graph.n_in, np.int64)
    level = np.zeros(graph.n_in, np.int64)
    found_pre, found_post = [], []
    step = 0
    while lines.size and n > 0:
        digit = np.zeros(lines.size, np.int64)
        for d in range(len(tables)):
            here = np.flatnonzero(level == d)
            digit[here] = _digit(graph, tables[d], lines[here], step)
        step += 1
        gap += digit << (8 * level)
        level += digit < 256
        done = level == len(tables)
        hit = done & (position + gap < n)
        partner = (position + gap)[hit]
        found_pre.append(lines[hit])
        found_post.append(partner + ((partner >= lines[hit]) if skip else 0))
        ended = position + gap >= n
        position[done] += gap[done] + 1
        gap[done] = 0
        level[done] = 0
        stays = ~ended & (position < n)
        lines, position, gap, level = lines[stays], position[stays], gap[stays], level[stays]
    pre = np.concatenate(found_pre) if found_pre else np.zeros(0, np.int64)
    post = np.concatenate(found_post) if found_post else np.zeros(0, np.int64)
    order = np.lexsort((post, pre))
    return pre[order], post[order]


def _below(graph, lines, m, index: int) -> tuple[np.ndarray, np.ndarray]:
    """A uniform number below ``m`` for each line, and whether this word gives one (Lemire 2019)."""
    product = _word(graph, lines, index).astype(np.uint64) * m
    threshold = (np.uint64(2**32) - m) % m
    return (product >> np.uint64(32)).astype(np.int64), (
        product & np.uint64(0xFFFFFFFF)
    ) >= threshold


def _fixed(graph, lines: np.ndarray, m: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """``k`` positions below ``m[i]`` for each line ``i``: line number (0, 1, ...) and position."""
    if k == 0 or lines.size == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    counts = np.zeros((lines.size, int(m.max())), np.int32)
    m = m.astype(np.uint64)
    complement = (k > m // np.uint64(2)) & (not graph.allow_multi)
    wanted = np.where(complement, m.astype(np.int64) - k, k)
    taken = np.zeros(lines.size, np.int64)
    index = 0
    left = np.flatnonzero(taken < wanted)
    while left.size:
        x, good = _below(graph, lines[left], m[left], index)
        index += 1
        if not graph.allow_multi:
            good &= counts[left, x] == 0
        counts[left[good], x[good]] += 1
        taken[left[good]] += 1
        left = left[taken[left] < wanted[left]]
    inside = np.arange(counts.shape[1])[None, :] < m[:, None].astype(np.int64)
    counts = np.where(complement[:, None], (counts == 0) & inside, counts)
    which, position = np.nonzero(counts)
    repeats = counts[which, position]
    return np.repeat(which, repeats), np.repeat(position, repeats)


def _fixed_lines(
    graph, lines, n_candidates: int, skips: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Line and partner position of every synapse; ``skips`` is the position left out, or -1."""
    pieces = []
    at_once = max(1, _LINES_AT_ONCE_BYTES // (8 * max(n_candidates, 1)))
    for start in range(0, lines.size, at_once):
        part, skip = lines[start : start + at_once], skips[start : start + at_once]
        which, position = _fixed(graph, part, n_candidates - (skip >= 0).astype(np.int64), k)
        out = skip[which]
        pieces.append((part[which], position + ((out >= 0) & (position >= out))))
    return tuple(np.concatenate(column) for column in zip(*pieces))


def fixed_post(graph, selected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pre and post of every synapse, in (pre, post) order, where the out-degree is fixed."""
    lines = selected.astype(np.int64)
    skips = np.full(lines.size, -1) if graph.allow_self else lines
    return _fixed_lines(graph, lines, graph.n_out, skips, graph.conn_num)


def fixed_pre(graph, selected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pre and post of every synapse, in (pre, post) order, where the in-degree is fixed."""
    lines = np.arange(graph.n_out)
    skips = np.full(graph.n_out, -1)
    if not graph.allow_self:
        place = np.searchsorted(selected, lines)
        own = (place < selected.size) & (selected[np.minimum(place, selected.size - 1)] == lines)
        skips = np.where(own, place, -1)
    post, position = _fixed_lines(graph, lines, selected.size, skips, graph.conn_num)
    pre = selected.astype(np.int64)[position]
    order = np.lexsort((post, pre))
    return pre[order], post[order]


_KEEP, _ROW, _REPEAT = 3, 4, 5  # lanes
_DRAWS_PER_LINE = 1 << 16


def _rows_of_draws(graph, first: int, n: int) -> tuple[np.ndarray, int]:
    """How many of ``n`` draws fall on each row, and the number of lines from ``first`` on that they take."""
    counts = np.zeros(graph.n_in, np.int64)
    lines = -(-n // _DRAWS_PER_LINE)
    m = np.uint64(graph.n_in)
    threshold = (np.uint64(2**32) - m) % m
    for line in range(first, first + lines):
        wanted = min(_DRAWS_PER_LINE, n)
        n -= wanted
        block = 0
        while wanted > 0:
            blocks = np.arange(block, block + wanted // 4 + 1)
            block += blocks.size
            words = philox(graph.seed, blocks, line, _ROW, _stream(graph)).ravel()
            product = words.astype(np.uint64) * m
            good = product[(product & np.uint64(0xFFFFFFFF)) >= threshold][:wanted]
            np.add.at(counts, (good >> np.uint64(32)).astype(np.int64), 1)
            wanted -= good.size
    return counts, lines


def row_counts(graph, n_partners: int, total: int) -> np.ndarray:
    """How ``total`` synapses fall on the rows, each of which has ``n_partners`` candidates."""
    taken = np.zeros(graph.n_in, np.int64)
    index = np.zeros(graph.n_in, np.int64)  # of the next word of each row
    missing, line = total, 0
    while missing > 0:
        drawn, lines = _rows_of_draws(graph, line, missing)
        line += lines
        if graph.allow_multi:
            return drawn
        left = np.flatnonzero(drawn)
        while left.size:
            words = philox(graph.seed, index[left] // 4, left, _REPEAT, _stream(graph))
            word = np.take_along_axis(words, (index[left] % 4)[:, None], axis=1)[:, 0]
            index[left] += 1
            product = word.astype(np.uint64) * np.uint64(n_partners)
            low = np.uint64(2**32 % n_partners)
            good = (product & np.uint64(0xFFFFFFFF)) >= low
            new = (product >> np.uint64(32)).astype(np.int64) >= taken[left]
            taken[left] += good & new
            drawn[left] -= good
            left = left[drawn[left] > 0]
        missing = total - int(taken.sum())
    return taken


def fixed_total(graph, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pre and post of every synapse, in (pre, post) order, where each row has its number."""
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for number in np.unique(counts):
        lines = np.flatnonzero(counts == number)
        skips = np.full(lines.size, -1) if graph.allow_self else lines
        found.append(_fixed_lines(graph, lines, graph.n_out, skips, int(number)))
    pre, post = (np.concatenate(column) for column in zip(*found))
    order = np.lexsort((post, pre))
    return pre[order], post[order]


def distance(graph) -> tuple[np.ndarray, np.ndarray]:
    """Pre and post of every synapse, in (pre, post) order, where probabilities depend on distance."""
    from .gaps import gap_table
    from .lattice import levels

    drawn = levels(graph.lattice)
    axes = graph.lattice.axes
    place = np.unravel_index(np.arange(graph.n_in), (axes[0].n_pre, axes[1].n_pre))
    kind = (place[0] % axes[0].step[0]) * axes[1].step[0] + place[1] % axes[1].step[0]
    lines = np.arange(graph.n_in)
    level, last = drawn.classes[kind], drawn.classes[kind + 1]
    lines, level, last = (x[level < last] for x in (lines, level, last))
    position = drawn.starts[level]  # the first pair of the level that is not yet decided
    gap, digit_of = np.zeros_like(position), np.zeros_like(position)
    found = []
    step = 0
    while lines.size:
        digit = np.zeros(lines.size, np.int64)
        exponent = drawn.exponent[level]
        for e in np.unique(exponent):
            table = gap_table(2.0 ** -int(e))
            for d in range(len(table)):
                here = np.flatnonzero((exponent == e) & (digit_of == d))
                digit[here] = _digit(graph, table[d], lines[here], step)
        step += 1
        n_digits = np.array([len(gap_table(2.0 ** -int(e))) for e in exponent])
        gap += digit << (8 * digit_of)
        digit_of += digit < 256
        done = digit_of == n_digits
        end = drawn.starts[level + 1]
        over = position + gap >= end
        hit = done & ~over
        found.append((lines[hit], (position + gap)[hit]))
        position = np.where(hit, position + gap + 1, position)
        level = level + (over | (hit & (position >= end)))
        moved = over | (hit & (position >= end))
        stays = level < last
        position = np.where(
            moved & stays, drawn.starts[np.minimum(level, drawn.exponent.size)], position
        )
        gap[done | over] = 0
        digit_of[done | over] = 0
        lines, level, last, position, gap, digit_of = (
            x[stays] for x in (lines, level, last, position, gap, digit_of)
        )
    line, pair = (
        np.concatenate([np.zeros(0, np.int64), *column]) for column in zip(*found or [((), ())])
    )
    # Candidates in the order in which each line found them.
    order = np.argsort(line, kind="stable")
    line, pair = line[order].astype(np.int64), pair[order].astype(np.int64)
    number = np.arange(line.size) - np.searchsorted(line, line)
    keep = _numbers(graph, line, number, _KEEP) <= drawn.threshold[pair]
    where = []
    for axis, own, offset in zip(axes, place, drawn.offset.T):
        post = own[line] // axis.step[0] * axis.step[1] + offset[pair]
        post = post % axis.n_post if axis.periodic else post
        keep &= (post >= 0) & (post < axis.n_post)
        where.append(post)
    pre, post = line[keep], (where[0] * axes[1].n_post + where[1])[keep]
    if not graph.allow_self:
        pre, post = pre[pre != post], post[pre != post]
    order = np.lexsort((post, pre))
    return pre[order], post[order]
