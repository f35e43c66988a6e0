"""What JAX sees: the products, delivery with delays and updates of weights as primitives, with derivatives and batching.

May import ``core``, ``rows``, ``graphs`` and ``backends``.
Begin with ``products.py``; ``partition.py`` says what becomes of them on several devices.
"""
