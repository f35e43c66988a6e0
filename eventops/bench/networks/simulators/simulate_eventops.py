"""The networks of `eventops.models`."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from serve import serve

import eventops
from eventops import models


class Simulator:
    def __init__(self, job):
        self.versions = {"eventops": eventops.__version__, "jax": jax.__version__}
        self.watch = job["watch"]
        self.model = getattr(models, job["model"])
        size, every = job["n"], 1
        if job["model"] == "microcircuit":
            size = self.scale = job["n"] / sum(self.model.SIZES)
            every = job["n"] // self.watch  # of all populations
        self.net = self.model.network(size, seed=job["seed"])
        self.counts, self.n_steps, self.warm = 0, 0, False
        self.state = self.model.initial(self.net, job["seed"])
        # A program per number of steps, compiled before the clock runs.
        arguments = self.model.step, self.net, self.state
        self.programs = {
            steps: models.run.lower(*arguments, steps, self.watch, every).compile()
            for steps in {job["warmup_steps"], job["segment_steps"]}
        }

    def run(self, n_steps):
        out = self.programs[n_steps](self.net, self.state)
        self.state, counts, raster = jax.block_until_ready(out)
        counts = np.asarray(counts)
        self.n_spikes = counts.sum()
        if self.warm:
            self.counts, self.n_steps = self.counts + counts, self.n_steps + n_steps
        self.warm = True
        return np.nonzero(np.asarray(raster))

    def summary(self):
        """Rates of the populations, where they have names."""
        if not hasattr(self.model, "rates"):
            return {}
        return {"populations": self.model.rates(self.counts, self.scale, self.n_steps)}


serve(Simulator)
