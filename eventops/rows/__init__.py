"""How synapses are stored: tiled rows, built of entries, with column index and delays; and some of them, chosen.

May import ``core``.
Begin with ``csr.py``: the class ``Rows`` is what every kernel for stored synapses reads.
"""
