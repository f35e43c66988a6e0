"""The native kernels under sanitizers and a fuzzer: ``python tests/support/sanitize.py [memory|threads|large|fuzz] ...``.

Builds the kernels with a small host in place of XLA (``tests/native``) and calls every FFI handler. ``docs/testing.md``
says what each part finds. Needs CMake and g++; ``fuzz`` needs clang with its run-time libraries.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ISAS = ("plain", "avx2", "avx512")
SMALL, LARGE = (
    1 << 14,
    1 << 18,
)  # elements of the largest buffer; see kBytesWorthAThread for the second
SUPPRESS = {
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    # An allocation that cannot be had is an error of the call, as it is without the sanitizer.
    "ASAN_OPTIONS": "allocator_may_return_null=1:detect_leaks=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


def build(sanitize: str, target: str, folder: Path, jobs: int) -> Path:
    """The program `target`, compiled with these sanitizers."""
    where = folder / sanitize.replace(",", "-")
    options = [f"-DEVENTOPS_SANITIZE={sanitize}", "-DCMAKE_BUILD_TYPE=None"]
    if "fuzzer" in sanitize:
        options.append("-DCMAKE_CXX_COMPILER=clang++")
    run(
        [
            "cmake",
            "-S",
            str(ROOT),
            "-B",
            str(where),
            f"-DPython_EXECUTABLE={sys.executable}",
            *options,
        ]
    )
    run(["cmake", "--build", str(where), "--target", target, "--parallel", str(jobs)])
    return where / target


def run(command: list[str], **environment: str) -> None:
    print("$", *(f"{key}={value}" for key, value in environment.items()), *command, flush=True)
    done = subprocess.run(command, env={**os.environ, **SUPPRESS, **environment})
    if done.returncode != 0:
        sys.exit(f"failed with status {done.returncode}: {' '.join(command)}")


def isas() -> list[str]:
    """The instruction sets that this processor runs."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return ["plain"]
    needed = {
        "plain": set(),
        "avx2": {"avx2", "fma", "f16c"},
        "avx512": {"avx512f", "avx512bw", "avx512vl"},
    }
    return [isa for isa in ISAS if needed[isa] <= flags]


def memory(folder: Path, options) -> None:
    """Bytes outside buffers, leaks and undefined behaviour: calls of every handler on every instruction set."""
    program = build("address,undefined", "stress", folder, options.jobs)
    for seed, isa in enumerate(isas(), options.seed):
        calls, seed = str(options.calls), str(seed)
        run([str(program), calls, seed, "2", str(SMALL), "hostile"], EVENTOPS_ISA=isa)
        run([str(program), calls, seed, "2", str(SMALL), "right"], EVENTOPS_ISA=isa)


def threads(folder: Path, options) -> None:
    """Data races: right calls large enough for several threads, from four callers that share one pool."""
    program = build("thread", "stress", folder, options.jobs)
    calls = str(max(2000, options.calls // 10))
    run([str(program), calls, str(options.seed), "4", str(LARGE), "right"])


def large(folder: Path, options) -> None:
    """Index arithmetic beyond 2**31 elements, in buffers of 19 GB of address space and megabytes of memory."""
    program = build("address,undefined", "large", folder, options.jobs)
    run([str(program)])


def fuzz(folder: Path, options) -> None:
    """libFuzzer looks for inputs that reach new code, under the address and undefined-behaviour sanitizers."""
    if shutil.which("clang++") is None:
        sys.exit("fuzz needs clang++ with libFuzzer: apt-get install clang libclang-rt-14-dev")
    program = build("fuzzer,address,undefined", "stress", folder, options.jobs)
    corpus, found = folder / "corpus", folder / "found"
    corpus.mkdir(exist_ok=True)
    found.mkdir(exist_ok=True)
    chosen = random.Random(options.seed)
    for i in range(200):  # long enough to fill a call, so that it need not be grown byte by byte
        (corpus / f"seed{i}").write_bytes(chosen.randbytes(512))
    limits = [
        "-max_len=512",
        "-timeout=120",  # pointers may say that each row has all synapses: seconds, and no hang
        "-rss_limit_mb=4096",
        f"-max_total_time={options.seconds}",
        f"-artifact_prefix={found}/",
    ]
    run([str(program), *limits, f"-seed={options.seed}", "-print_final_stats=1", str(corpus)])


PARTS = {f.__name__: f for f in (memory, threads, large, fuzz)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=", ".join(PARTS) + "; default: all but fuzz"
    )
    parser.add_argument("--calls", type=int, default=20_000, help="calls for each instruction set")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=300, help="how long to fuzz")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="compilers at once")
    parser.add_argument(
        "--folder", type=Path, help="where to build; kept, and faster the next time"
    )
    options = parser.parse_args()
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"there is no part {part!r}; there are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.folder or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for part in options.parts or [name for name in PARTS if name != "fuzz"]:
            print(f"# {part}: {PARTS[part].__doc__}", flush=True)
            PARTS[part](folder, options)
    print("nothing found")


if __name__ == "__main__":
    main()
