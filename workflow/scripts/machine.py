"""Facts of the machine to a file."""

import eventops
from eventops import backends
from eventops.bench.records import log, machine, record, turns

with log.to_file(snakemake.log[0]):
    with turns.on_this_machine():
        facts = machine.facts(eventops.__version__, backends.available())
    record.write(snakemake.output[0], "machine", facts | {"slug": snakemake.params.slug})
    for key, value in facts.items():
        print(f"{key}: {value}")
