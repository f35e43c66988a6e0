"""The command ``python -m eventops.bench.join``: results of several machines in one page. ``compare/join.py`` has what it does."""
