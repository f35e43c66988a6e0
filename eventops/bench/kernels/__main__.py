"""``python -m eventops.bench.kernels [section ...]``."""

import sys

from .sections import main

if __name__ == "__main__":
    main(sys.argv[1:])
