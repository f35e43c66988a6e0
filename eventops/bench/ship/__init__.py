"""The command ``python -m eventops.bench.ship``: the table that ships with the package. ``tables/reference_table.py`` has what it does."""
