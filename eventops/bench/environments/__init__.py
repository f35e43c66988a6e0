"""The command ``python -m eventops.bench.environments``: environments of the other simulators. ``networks/environments.py`` has what it does."""
