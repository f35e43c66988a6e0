"""The command ``python -m eventops.bench.gpu``: single products on a GPU. ``measure/on_gpu.py`` has what it does."""
