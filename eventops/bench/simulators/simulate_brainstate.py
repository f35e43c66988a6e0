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
        self.v = brainstate.ShortTermState(-55.0 + 2.0 * brainstate.random.randn(self.n))
        self.e = brainstate.ShortTermState(jnp.zeros(self.n))
        self.i = brainstate.ShortTermState(jnp.zeros(self.n))
        self.wait = brainstate.ShortTermState(jnp.zeros(self.n, jnp.int16))
        self.spikes = brainstate.ShortTermState(jnp.zeros(self.n, bool))

    def update(self):
        spikes = self.spikes.value
        e = self.e.value * jnp.exp(-DT / 5.0) + self.exc(spikes[: self.n_exc])
        i = self.i.value * jnp.exp(-DT / 10.0) + self.inh(spikes[self.n_exc :])
        if self.conductance:
            total = 1.0 + e + i
            end = (self.p["v_rest"] + self.p["drive"] - 80.0 * i) / total
        else:
            total, end = 1.0, self.p["v_rest"] + e + i
        v = end + (self.v.value - end) * jnp.exp(total * (-DT / 20.0))
        v = jnp.where(self.wait.value > 0, self.v.value, v)
        spikes = v > -50.0
        self.v.value = jnp.where(spikes, -60.0, v)
        self.wait.value = jnp.where(
            spikes, jnp.int16(REFRACTORY), jnp.maximum(self.wait.value - jnp.int16(1), jnp.int16(0))
        )
        self.e.value, self.i.value, self.spikes.value = e, i, spikes
        return spikes


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
