"""What a bench has found: as a table for people, and as JSON for whoever compares."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

#: shape -> size -> figure -> value; a figure that could not be measured is missing.
Figures: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]

FILE = Path(__file__).resolve().parents[2] / "build" / "bench.json"

#: A ratio of these says nothing: they are counts of trouble, or what was asked for.
_WITHOUT_RATIO = {"failed", "interval_s", "clips"}


def keep(name: str, figures: Figures) -> None:
    """Put a bench's figures into the file; those of other benches stay."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    kept[name] = figures
    FILE.write_text(json.dumps(kept, indent=2) + "\n")


def table(name: str, figures: Figures, ours: str) -> str:
    """Return a table: a row for each size and shape; in parentheses, how many times as much as ours, at this size."""
    sizes = list(dict.fromkeys(size for by_size in figures.values() for size in by_size))
    columns = list(dict.fromkeys(key for by_size in figures.values() for row in by_size.values() for key in row))
    rows = [[name, "", *columns]]
    for size in sizes:
        base = figures.get(ours, {}).get(size, {})
        for shape, by_size in figures.items():
            if size in by_size:
                row = by_size[size]
                rows.append([size, shape, *(_cell(key, row.get(key), base.get(key), shape == ours) for key in columns)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _cell(key: str, value: Any, base: Any, is_ours: bool) -> str:
    if value is None:
        return "-"
    if is_ours or key in _WITHOUT_RATIO or not base:
        return f"{value:g}"
    return f"{value:g} (x{value / base:.2g})"


def machine() -> str:
    """Say what it was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = models[0] if models else platform.processor() or platform.machine()
    return f"{os.cpu_count()} x {cpu}, {platform.system()}, Python {sys.version.split()[0]}"
