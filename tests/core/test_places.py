"""What is made from an operator is where the operator is: in a process with two devices."""

import pathlib

from support.cases import run_python

CHECKS = pathlib.Path(__file__).parents[1] / "support/places_checks.py"


def test_on_another_device_and_on_two():
    done = run_python(
        CHECKS.read_text(), timeout=300, XLA_FLAGS="--xla_force_host_platform_device_count=2"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert not done.stdout, done.stdout
