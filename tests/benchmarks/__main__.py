"""``python -m tests.benchmarks [name ...]``: measure, print a table, and keep the figures in build/bench.json."""

from __future__ import annotations

import importlib
import sys
import time

from tests.benchmarks import report

#: The benches, and for each the shape that the others are compared with.
BENCHES = {
    "imports": "pika",
    "waits": "pika trigger, polling",
    "batch": "pika batch, state in memory",
    "workers": "operator that waits",
    "saving": "pika operator",
    "pipeline": "pika batch and save",
    "pages": "SQLite, all are clips",
}


def main(names: list[str]) -> int:
    """Run some benches, or all, one after the other; give an exit code."""
    if unknown := [name for name in names if name not in BENCHES]:
        print(f"There is no bench {', '.join(unknown)}; there are: {', '.join(BENCHES)}.", file=sys.stderr)
        return 2
    for name in names or BENCHES:
        begun = time.monotonic()
        print(f"{name} ...", file=sys.stderr)
        figures = importlib.import_module(f"tests.benchmarks.bench_{name}").run()
        report.keep(name, figures)
        print(report.table(name, figures, BENCHES[name]))
        print(f"{name}: {time.monotonic() - begun:.0f} s on {report.machine()}\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
