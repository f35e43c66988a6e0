import sys

from ..networks.environments import main

if __name__ == "__main__":
    main(sys.argv[1:])
