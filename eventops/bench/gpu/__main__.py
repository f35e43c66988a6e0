import sys

from ..measure.on_gpu import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
