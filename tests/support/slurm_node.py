"""This machine as a whole Slurm cluster: munged, slurmctld and slurmd on loopback, in a folder of their own.

They are the real ones (Debian: ``apt-get install slurm-wlm munge``), started as root in seconds, and nothing of them
is left behind.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "sinfo")
# A requeued job begins as soon as the credentials of its first run have ended; a lost node is given up as fast.
CONFIGURATION = """
ClusterName=eventops
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=6
MinJobAge=3600
JobRequeue=1
SchedulerParameters=bf_interval=2,sched_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """What keeps Slurm from running here, and how to get it; None if nothing does."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"  # where Debian has the daemons
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        return f"no {', '.join(missing)} here: apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "slurmd starts jobs as their users: needs root"


class Cluster:
    """A cluster of one node with the partitions ``cpu`` and ``gpu``; the GPU is the file ``/dev/null``."""

    def __init__(self):
        # munged wants every folder above its socket open to all, which those of pytest are not.
        folder = self.folder = Path(tempfile.mkdtemp(prefix="eventops-slurm-"))
        folder.chmod(0o711)
        self.host = socket.gethostname().split(".")[0]
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        configuration = folder / "slurm.conf"
        self.environment = {"SLURM_CONF": str(configuration), "PATH": path}
        for name in ("state", "spool"):
            (folder / name).mkdir()
        with contextlib.ExitStack() as stack:  # two ports that nobody has
            sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            ports = [one.getsockname()[1] for one in sockets]
        text = CONFIGURATION.format(host=self.host, folder=folder, ports=ports, cpus=os.cpu_count())
        configuration.write_text(text)
        (folder / "gres.conf").write_text("Name=gpu Count=1 File=/dev/null\n")
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        # The executor's jobs drop all variables of Slurm, so that their srun has to be told again where it belongs.
        srun = folder / "bin/srun"
        srun.parent.mkdir()
        program = shutil.which("srun", path=path)
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {program} "$@"\n')
        srun.chmod(0o755)
        self.environment["PATH"] = f"{srun.parent}:{path}"
        self.running: dict[str, subprocess.Popen] = {}

    def start(self) -> None:
        options = {
            "--key-file": "munge.key",
            "--socket": "munge.socket",
            "--pid-file": "munge.pid",
            "--log-file": "munge.log",
            "--seed-file": "munge.seed",
        }
        self._run("munged", "-F", *(f"{k}={self.folder / v}" for k, v in options.items()))
        self._wait(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._run("slurmctld", "-D", "-c")
        self.start_node()

    def start_node(self) -> None:
        self._run("slurmd", "-D")
        self._wait(lambda: self("sinfo", "-h", "-o", "%t").split() in (["idle"], ["mix"]), "sinfo")

    def kill_node(self) -> None:
        """SIGKILL to slurmd and to all that it has started, as when a node loses its power."""
        tree = {self.running["slurmd"].pid}
        parents = _parents()
        steps = {pid for pid, (_, name) in parents.items() if name.startswith("slurmstepd")}
        tree |= {pid for pid in steps if self._ours(pid)}
        while more := {pid for pid, (parent, _) in parents.items() if parent in tree} - tree:
            tree |= more
        for pid in tree:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.running.pop("slurmd").wait()

    def stop(self) -> None:
        if "slurmd" in self.running:
            with contextlib.suppress(subprocess.SubprocessError):
                self("scancel", "--state=RUNNING", "--user=root")
            self.kill_node()
        for process in reversed(self.running.values()):
            process.terminate()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __call__(self, *command: str) -> str:
        done = subprocess.run(
            command, env=os.environ | self.environment, text=True, capture_output=True, timeout=60
        )
        return done.stdout

    def jobs(self) -> list[dict[str, str]]:
        """What Slurm says of each job that it was ever given."""
        text = self("scontrol", "show", "job", "--oneliner")
        found = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines()]
        return [job for job in found if "JobId" in job]

    def _ours(self, pid: int) -> bool:
        try:
            return str(self.folder).encode() in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False

    def _run(self, name: str, *arguments: str) -> None:
        log = open(self.folder / f"{name}.out", "ab")  # noqa: SIM115 - the process keeps it
        program = shutil.which(name, path=self.environment["PATH"])
        self.running[name] = subprocess.Popen(
            [program, *arguments], env=os.environ | self.environment, stdout=log, stderr=log
        )
        log.close()

    def _wait(self, ready, name: str) -> None:
        for _ in range(300):
            if ready():
                return
            time.sleep(0.1)
        logs = "\n".join(p.read_text(errors="replace")[-2000:] for p in self.folder.glob("*.out"))
        raise RuntimeError(f"{name} is not ready after 30 s:\n{logs}")


def _parents() -> dict[int, tuple[int, str]]:
    """Parent and name of each process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, rest = path.read_text().split("(", 1)[1].rsplit(")", 1)
            found[int(path.parent.name)] = (int(rest.split()[1]), name)
    return found
