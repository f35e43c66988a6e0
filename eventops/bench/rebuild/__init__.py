"""The command ``python -m eventops.bench.rebuild``: tables, figures and page from records alone. ``report/rebuild.py`` has what it does."""
