"""A spiking classifier trained by surrogate gradients: Neftci, Mostafa & Zenke (2019), IEEE Signal Processing Magazine 36(6), 51-63.

Handwritten digits of 8 x 8 pixels (1,797 of them come with scikit-learn) become spikes: in each of 20 steps a pixel fires
with a probability of half its brightness: a seventh of the inputs are active. Two layers of leaky integrate-and-fire
neurons and a leaky readout without spikes follow,

    I[t] = alpha I[t-1] + S_in[t] W      V[t] = beta V[t-1] + I[t] - S[t-1]      S[t] = Theta(V[t] - 1)
    O[t] = beta O[t-1] + S[t] W_out      score of a digit = mean over t of O[t]

with alpha = exp(-dt / tau_syn), beta = exp(-dt / tau_mem), and a spike that takes the threshold, 1, off V. The loss is the
cross-entropy of the scores; Adam (Kingma & Ba 2015, arXiv:1412.6980) changes the weights. Theta has no useful
derivative; in its place stands that of a fast sigmoid, 1 / (1 + 10 |x|)^2, as in SuperSpike (Zenke & Ganguli 2018, Neural
Computation 30, 1514-1541).

The first layer is ``EventLinear``, all to all; the second ``EventFixedNumConn``, in which every neuron has 32 sources; the
readout is ``EventLinear`` again. The dense twin is made of ``Linear``, which reads every weight, has the same initial weights
and gets the same spikes; the connections that the sparse layer lacks are 0 there, and stay so since a mask takes their
gradients away. So both are the same network, and differ in the order of sums. Those are rounded differently, spikes near
the threshold flip, and the runs drift apart, as two runs of the dense one do on two machines; what they reach is the same.

    pip install -e ".[examples]"
    python examples/digits.py --seeds 5
"""

import argparse
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

import eventops as nn

PIXELS, HIDDEN, SECOND, FAN_IN, DIGITS = 64, 256, 128, 32, 10
STEPS, BRIGHTEST = 20, 0.5  # of an image; probability that a white pixel fires in one of them
ALPHA, BETA = np.exp(-1 / 5), np.exp(-1 / 10)  # dt = 1 ms
BATCH, RATE = 64, 5e-3  # images; of Adam at first, from where it falls to 0 as a cosine
STEEPNESS = 10.0


@jax.custom_jvp
def fire(v):
    """1 where ``v`` reaches 0, with the derivative of a fast sigmoid."""
    return (v >= 0).astype(v.dtype)


@fire.defjvp
def _surrogate(primals, tangents):
    (v,), (dv,) = primals, tangents
    return fire(v), dv / (1 + STEEPNESS * jnp.abs(v)) ** 2


def images(seed=0):
    """The digits of scikit-learn, a fifth of them kept for the test.

    Returns
    -------
    (pixels, label), (pixels, label)
        For training and for the test; brightness in [0, 1], shape (n, 64), and numbers of shape (n,).
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, label = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    train_x, test_x, train_y, test_y = train_test_split(
        pixels, label, test_size=0.2, stratify=label, random_state=seed
    )
    return (jnp.asarray(train_x), jnp.asarray(train_y)), (jnp.asarray(test_x), jnp.asarray(test_y))


def network(seed=0) -> dict:
    """The three projections; weights are normal, so large that a tenth of the neurons fires from the start."""
    normal = jax.nn.initializers.normal
    return {
        "first": nn.EventLinear(PIXELS, HIDDEN, normal(0.4 / np.sqrt(PIXELS)), seed=3 * seed),
        "second": nn.EventFixedNumConn(
            HIDDEN,
            SECOND,
            FAN_IN,
            normal(0.4 / np.sqrt(FAN_IN)),
            efferent_target="pre",
            seed=3 * seed + 1,
        ),
        "out": nn.EventLinear(SECOND, DIGITS, normal(0.3 / np.sqrt(SECOND)), seed=3 * seed + 2),
    }


def twin(model: dict) -> tuple[dict, dict]:
    """The same network of dense products.

    Returns
    -------
    model : dict of Linear
    masks : dict of array
        By the names of `eventops.split`: 1 where there is a connection.
    """
    dense = {k: nn.Linear(op.in_size, op.out_size, op.todense()) for k, op in model.items()}
    masks = {f"{k}.weight": op.with_weight(1.0).todense() for k, op in model.items()}
    return dense, masks


def scores(model, pixels, key):
    """Of each digit, shape (batch, 10), and the share of neurons that fire in a step, shape (2,)."""
    chance = BRIGHTEST * pixels
    spikes = jax.random.bernoulli(key, chance, (STEPS, *pixels.shape)).astype(jnp.float32)

    def layer(op, state, arriving):
        current, v, fired = state
        current = ALPHA * current + op(arriving)
        v = BETA * v + current - fired
        fired = fire(v - 1.0)
        return (current, v, fired), fired

    def step(state, arriving):
        one, two, out, total = state
        one, fired = layer(model["first"], one, arriving)
        two, again = layer(model["second"], two, fired)
        out = BETA * out + model["out"](again)
        return (one, two, out, total + out), jnp.stack([fired.mean(), again.mean()])

    one, two, out = (jnp.zeros((len(pixels), n)) for n in (HIDDEN, SECOND, DIGITS))
    start = (one, one, one), (two, two, two), out, out
    (*_, total), active = jax.lax.scan(step, start, spikes)
    return total / STEPS, active.mean(axis=0)


def loss(weights, merge, pixels, label, key):
    """Mean cross-entropy of a batch."""
    found, _ = scores(merge(weights), pixels, key)
    return optax.softmax_cross_entropy_with_integer_labels(found, label).mean()


@partial(jax.jit, static_argnames="epochs")
def train(weights, merge, masks, pixels, label, epochs, key):
    """Train.

    Parameters
    ----------
    weights, merge
        From `eventops.split` of a network or of its twin.
    masks : dict or None
        What gradients are multiplied by; None for the event-driven network, which has no weights to be masked.
    pixels, label : array
        Shapes (n, 64) and (n,). Of each epoch the images that fill no batch are left out.
    epochs : int
    key : PRNG key

    Returns
    -------
    weights : dict of array
    losses : array, shape (epochs,)
    """
    n = len(pixels) // BATCH * BATCH
    adam = optax.adam(optax.cosine_decay_schedule(RATE, epochs * n // BATCH))

    def batch(carry, picked):
        weights, moments = carry
        which, key = picked
        value, slope = jax.value_and_grad(loss)(weights, merge, pixels[which], label[which], key)
        if masks is not None:
            slope = jax.tree.map(jnp.multiply, slope, masks)
        change, moments = adam.update(slope, moments)
        return (optax.apply_updates(weights, change), moments), value

    def epoch(carry, key):
        order, spikes = jax.random.split(key)
        which = jax.random.permutation(order, len(pixels))[:n].reshape(-1, BATCH)
        carry, losses = jax.lax.scan(batch, carry, (which, jax.random.split(spikes, len(which))))
        return carry, losses.mean()

    keys = jax.random.split(key, epochs)
    (weights, _), losses = jax.lax.scan(epoch, (weights, adam.init(weights)), keys)
    return weights, losses


@jax.jit
def accuracy(weights, merge, pixels, label, key):
    """Share of images whose digit has the highest score, and of neurons that fire in a step."""
    found, active = scores(merge(weights), pixels, key)
    return jnp.mean(found.argmax(axis=1) == label), active


def compare(seed: int, epochs: int) -> dict[str, dict]:
    """Train a network and its twin on the same spikes.

    Returns
    -------
    dict
        ``event`` and ``dense``, each with ``accuracy`` on the test images, ``active``, the last ``loss`` and the
        ``seconds`` of training, compiling not included.
    """
    train_set, test_set = images(seed)
    model = network(seed)
    dense, masks = twin(model)
    learn, test = jax.random.split(jax.random.key(seed))
    result = {}
    for name, one, mask in (("event", model, None), ("dense", dense, masks)):
        weights, merge = nn.split(one)
        program = train.lower(weights, merge, mask, *train_set, epochs, learn).compile()
        start = time.perf_counter()
        weights, losses = jax.block_until_ready(program(weights, merge, mask, *train_set, learn))
        seconds = time.perf_counter() - start
        right, active = accuracy(weights, merge, *test_set, test)
        result[name] = {
            "accuracy": float(right),
            "active": [round(float(a), 3) for a in active],
            "loss": float(losses[-1]),
            "seconds": seconds,
        }
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=1, help="train so many pairs, each anew")
    options = parser.parse_args()
    found = []
    for seed in range(options.seeds):
        pair = compare(seed, options.epochs)
        found.append([pair["event"]["accuracy"], pair["dense"]["accuracy"]])
        for name, one in pair.items():
            print(
                f"seed {seed}, {name}: {one['accuracy']:.1%} right, loss {one['loss']:.3f}, "
                f"active {one['active']}, {one['seconds']:.1f} s"
            )
    event, dense = np.mean(found, axis=0)
    print(f"mean of {options.seeds}: event-driven {event:.1%}, dense twin {dense:.1%}")


if __name__ == "__main__":
    main()
