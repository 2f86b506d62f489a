"""What is in a folder after a clip was saved there; without Airflow, which takes seconds to import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def metadata_beside(path: Path | str) -> dict[str, Any]:
    """Read the metadata file of a clip."""
    metadata: dict[str, Any] = json.loads(Path(f"{path}.json").read_text())
    return metadata


def names_in(folder: Path) -> list[str]:
    """Return all that is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
