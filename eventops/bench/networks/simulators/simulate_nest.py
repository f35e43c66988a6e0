"""The networks in NEST: those that it integrates in the same way, with exact exponentials on the grid of steps."""

import nest
import numpy as np
from serve import Skip, serve


class Simulator:
    def __init__(self, job):
        model, n = job["model"], job["n"]
        if model not in ("cuba", "brunel"):
            raise Skip(
                "its synapses are not written for it here"
                if model == "microcircuit"
                else f"it integrates {model} by an adaptive Runge-Kutta method, not on the grid of steps"
            )
        self.versions = {"nest": nest.__version__}
        self.dt = job["dt_ms"]
        nest.set_verbosity("M_ERROR")
        nest.ResetKernel()
        nest.set(resolution=self.dt, local_num_threads=job["threads"], rng_seed=job["seed"] + 1)
        n_exc = n * 4 // 5
        rng = np.random.default_rng(job["seed"])
        if model == "cuba":
            # With 20 pF and 20 ms, 1 pA moves the voltage by 1 mV.
            neurons = nest.Create(
                "iaf_psc_exp",
                n,
                dict(
                    C_m=20.0,
                    tau_m=20.0,
                    E_L=-49.0,
                    V_th=-50.0,
                    V_reset=-60.0,
                    t_ref=5.0,
                    tau_syn_ex=5.0,
                    tau_syn_in=10.0,
                    I_e=0.0,
                ),
            )
            neurons.V_m = -55.0 + 2.0 * rng.standard_normal(n)
            rule = {"rule": "pairwise_bernoulli", "p": 80 / n}
            weights, delay = (1.62, -9.0), self.dt
        else:
            neurons = nest.Create(
                "iaf_psc_delta",
                n,
                dict(C_m=1.0, tau_m=20.0, E_L=0.0, V_th=20.0, V_reset=10.0, t_ref=2.0, I_e=0.0),
            )
            neurons.V_m = rng.uniform(10.0, 20.0, n)
            weights, delay = (0.1, -0.5), 1.5
            rate = 1000.0 * 2.0 * 20.0 / (0.1 * 20.0)
            outside = nest.Create("poisson_generator", params={"rate": rate})
            nest.Connect(outside, neurons, syn_spec={"weight": 0.1, "delay": self.dt})
        for part, w in ((neurons[:n_exc], weights[0]), (neurons[n_exc:], weights[1])):
            if model == "brunel":
                rule = {
                    "rule": "fixed_indegree",
                    "indegree": round(0.1 * len(part)),
                    "allow_multapses": False,
                }
            nest.Connect(part, neurons, rule, {"weight": w, "delay": delay})
        self.recorder = nest.Create("spike_recorder")
        nest.Connect(neurons[: job["watch"]], self.recorder)
        nest.Prepare()

    def run(self, n_steps):
        start = nest.GetKernelStatus("biological_time")
        nest.Run(n_steps * self.dt)
        self.n_spikes = nest.GetKernelStatus("local_spike_counter")  # of this run alone
        # The recorder cannot be emptied between Prepare and Cleanup, so it holds the earlier segments too.
        events = self.recorder.get("events")
        step = np.round((events["times"] - start) / self.dt).astype(np.int64) - 1
        new = step >= 0
        return step[new], events["senders"][new] - 1


serve(Simulator)
