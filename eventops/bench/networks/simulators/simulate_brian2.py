"""The networks in Brian2, C++ standalone: one program per network, started once per segment."""

import resource
import tempfile

import brian2
import numpy as np
from brian2 import (
    Hz,
    Network,
    NeuronGroup,
    PoissonInput,
    PopulationRateMonitor,
    SpikeMonitor,
    Synapses,
    defaultclock,
    ms,
    mV,
)
from serve import Skip, serve

EQUATIONS = {
    "coba": """
        dv/dt = (v_rest - v + g_e * (0*mV - v) + g_i * (-80*mV - v) + 20*mV) / (20*ms) : volt (unless refractory)
        dg_e/dt = -g_e / (5*ms) : 1
        dg_i/dt = -g_i / (10*ms) : 1""",
    "cuba": """
        dv/dt = (v_rest - v + g_e + g_i) / (20*ms) : volt (unless refractory)
        dg_e/dt = -g_e / (5*ms) : volt
        dg_i/dt = -g_i / (10*ms) : volt""",
    "brunel": "dv/dt = -v / (20*ms) : volt (unless refractory)",
}


class Simulator:
    def __init__(self, job):
        if job["model"] == "microcircuit":
            raise Skip("its synapses, with a weight and a delay each, are not written for it here")
        self.versions = {"brian2": brian2.__version__}
        self.job, self.directory = job, tempfile.mkdtemp(prefix="brian2-")
        self.device, self.watched = self._build(job["warmup_steps"] + job["segment_steps"])

    def _build(self, n_steps):
        """Write and compile the program of so many steps."""
        job, model, n = self.job, self.job["model"], self.job["n"]
        brian2.device.reinit()
        brian2.set_device(
            "cpp_standalone", directory=f"{self.directory}/{n_steps}", build_on_run=False
        )
        brian2.prefs.devices.cpp_standalone.openmp_threads = (
            0 if job["threads"] == 1 else job["threads"]
        )
        brian2.seed(job["seed"])
        defaultclock.dt = job["dt_ms"] * ms
        n_exc = n * 4 // 5
        space = {"v_rest": -60 * mV if model == "coba" else -49 * mV}
        if model == "brunel":
            group = NeuronGroup(
                n,
                EQUATIONS[model],
                threshold="v >= 20*mV",
                reset="v = 10*mV",
                refractory=2 * ms,
                method="exact",
            )
            group.v = "10*mV + 10*mV*rand()"
            parts = [group]
            for first, last, jump in ((0, n_exc, 0.1 * mV), (n_exc, n, -0.5 * mV)):
                s = Synapses(
                    group, group, on_pre="v += jump", delay=1.5 * ms, namespace={"jump": jump}
                )
                # Exactly a tenth of each population, distinct, for every target.
                rng = np.random.default_rng(job["seed"] + first)
                fan = round(0.1 * (last - first))
                pre = np.concatenate(
                    [first + rng.choice(last - first, fan, replace=False) for _ in range(n)]
                )
                s.connect(i=pre, j=np.repeat(np.arange(n), fan))
                parts.append(s)
            # eta * theta / (J C_E tau) from each of C_E sources
            fan = round(0.1 * n_exc)
            rate = 2.0 * 20 / (0.1 * fan * 0.020) * Hz
            parts.append(PoissonInput(group, "v", fan, rate, 0.1 * mV))
        else:
            group = NeuronGroup(
                n,
                EQUATIONS[model],
                threshold="v > -50*mV",
                reset="v = -60*mV",
                refractory=5 * ms,
                method="exponential_euler" if model == "coba" else "exact",
                namespace=space,
            )
            group.v = "-55*mV + 2*mV*randn()"
            weights = (0.6, 6.7) if model == "coba" else (1.62 * mV, -9.0 * mV)
            parts = [group]
            for pre, name, w in (
                (group[:n_exc], "g_e", weights[0]),
                (group[n_exc:], "g_i", weights[1]),
            ):
                s = Synapses(pre, group, on_pre=f"{name} += jump", namespace={"jump": w})
                s.connect(p=80 / n)
                parts.append(s)
        watched = SpikeMonitor(group[: job["watch"]])
        self.everyone = PopulationRateMonitor(group)
        network = Network(*parts, watched, self.everyone)
        network.run(n_steps * job["dt_ms"] * ms)
        brian2.device.build(compile=True, run=False, directory=f"{self.directory}/{n_steps}")
        return brian2.device, watched

    def run(self, n_steps):
        """The duration is part of the program and a program starts anew: every segment is the same one."""
        n_steps = self.job["warmup_steps"] + self.job["segment_steps"]
        device, watched = self.device, self.watched
        device.run()
        # Its own clock: the loop alone, without starting the program and making the synapses.
        self.seconds = device._last_run_time * self.job["segment_steps"] / n_steps
        step = np.round(np.asarray(watched.t / ms) / self.job["dt_ms"]).astype(np.int64)
        # Of the program; of the compiler where that took more.
        self.peak_rss_bytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        late = step >= self.job["warmup_steps"]
        rates = np.asarray(self.everyone.rate / Hz)[self.job["warmup_steps"] :]
        self.n_spikes = round(rates.sum() * self.job["n"] * self.job["dt_ms"] / 1000)
        return step[late] - self.job["warmup_steps"], np.asarray(watched.i)[late]


serve(Simulator)
