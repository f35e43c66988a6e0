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
        self.net = self.model.network(job["n"], seed=job["seed"])
        self.state = self.model.initial(self.net, job["seed"])
        # A program per number of steps: compiled before the clock runs.
        for steps in {job["warmup_steps"], job["segment_steps"]}:
            models.run.lower(self.model.step, self.net, self.state, steps, self.watch).compile()
            jax.block_until_ready(
                models.run(self.model.step, self.net, self.state, steps, self.watch)
            )

    def run(self, n_steps):
        out = models.run(self.model.step, self.net, self.state, n_steps, self.watch)
        self.state, _, raster = jax.block_until_ready(out)
        return np.nonzero(np.asarray(raster))


serve(Simulator)
