"""Two directories of results side by side; fails on a regression."""

import sys
from pathlib import Path

from eventops.bench.compare import compare
from eventops.bench.records import log

given = snakemake.params
if not (given.old and given.new):
    sys.exit(
        "snakemake compare needs two directories: --config old=results/<this> new=results/<that>"
    )
try:
    said, good = compare.run(given.old, given.new, given.threshold, given.basis, Path(given.folder))
except (OSError, ValueError) as error:
    sys.exit(str(error))
with log.to_file(snakemake.log[0]):
    print(said)
if not good:
    sys.exit(said)
print(said)
