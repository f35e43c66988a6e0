"""The networks in BrainState with brainevent's operators, integrated as `eventops.models` does it.

brainevent's own example, COBA_2005, gives the weights in mS and the drive in mA: conductances times millivolts are then a
thousandth of the drive, and the neurons fire as if they were not connected. Here both have the published ratio.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import brainevent
import brainstate
import jax
import jax.numpy as jnp
import numpy as np
from serve import Skip, serve

DT, REFRACTORY = 0.1, 50
COBA = dict(v_rest=-60.0, w_e=0.6, w_i=6.7, drive=20.0)
CUBA = dict(v_rest=-49.0, w_e=1.62, w_i=-9.0, drive=0.0)


class Network(brainstate.nn.Module):
    def __init__(self, n, conductance):
        super().__init__()
        self.n, self.n_exc, self.conductance = n, n * 4 // 5, conductance
        self.p = COBA if conductance else CUBA
        number = 80 / n
        self.exc = brainstate.nn.EventFixedProb(self.n_exc, n, number, self.p["w_e"])
        self.inh = brainstate.nn.EventFixedProb(n - self.n_exc, n, number, self.p["w_i"])

    def init_state(self):
        v = jnp.minimum(-55.0 + 2.0 * brainstate.random.randn(self.n), -50.0)
        self.v = brainstate.ShortTermState(v)
        self.e = brainstate.ShortTermState(jnp.zeros(self.n))
        self.i = brainstate.ShortTermState(jnp.zeros(self.n))
        self.wait = brainstate.ShortTermState(jnp.zeros(self.n, jnp.int16))

    def update(self):
        fired = self.v.value > -50.0
        wait = jnp.maximum(self.wait.value - jnp.int16(1), jnp.int16(0))
        wait = jnp.where(fired, jnp.int16(REFRACTORY), wait)
        v = jnp.where(fired, -60.0, self.v.value)
        e = self.e.value * jnp.exp(-DT / 5.0) + self.exc(fired[: self.n_exc])
        i = self.i.value * jnp.exp(-DT / 10.0) + self.inh(fired[self.n_exc :])
        if self.conductance:
            total = 1.0 + e + i
            end = (self.p["v_rest"] + self.p["drive"] - 80.0 * i) / total
        else:
            total, end = 1.0, self.p["v_rest"] + e + i
        moved = end + (v - end) * jnp.exp(total * (-DT / 20.0))
        v = jnp.where(wait > 0, v, moved)
        self.v.value, self.e.value, self.i.value, self.wait.value = v, e, i, wait
        return v > -50.0


class Simulator:
    def __init__(self, job):
        if job["model"] not in ("coba", "cuba"):
            raise Skip(
                f"its operators have neither the fixed in-degree nor the delays of {job['model']}"
            )
        self.versions = {
            "brainstate": brainstate.__version__,
            "brainevent": brainevent.__version__,
            "jax": jax.__version__,
        }
        brainstate.random.seed(job["seed"])
        self.net = Network(job["n"], job["model"] == "coba")
        brainstate.nn.init_all_states(self.net)
        watch = job["watch"]
        counts = brainstate.ShortTermState(jnp.zeros(job["n"], jnp.int32))

        def step(_):
            spikes = self.net.update()
            counts.value = counts.value + spikes
            return spikes[:watch]

        @brainstate.transform.jit(static_argnums=0)
        def many(n_steps):
            counts.value = jnp.zeros(job["n"], jnp.int32)
            raster = brainstate.transform.for_loop(step, jnp.arange(n_steps))
            return counts.value, raster

        self.many = many
        for steps in {job["warmup_steps"], job["segment_steps"]}:
            jax.block_until_ready(many(steps))

    def run(self, n_steps):
        counts, raster = jax.block_until_ready(self.many(n_steps))
        self.n_spikes = np.asarray(counts).sum()
        return np.nonzero(np.asarray(raster))


serve(Simulator)
