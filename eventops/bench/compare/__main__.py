"""``python -m eventops.bench.compare OLD NEW``."""

import sys

from .compare import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
