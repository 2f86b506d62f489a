"""Another program in the place of the decoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_pika.media import decoder


def decoding_with(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Have another program decode, which has its limits as ours has."""
    script = folder / "decoder.py"
    limits = "import sys, os, json, time\nsys.path.insert(0, {!r})\nfrom decoder import give_up\ngive_up(1 << 29, 2)\n"
    script.write_text(limits.format(str(Path(decoder.__file__).parent)) + code)
    monkeypatch.setattr(decoder, "__file__", str(script))


def answer(**fields: object) -> str:
    """Return the code that says what a small clip shows, but for these fields."""
    said = {"width": 64, "height": 48, "seconds": 1.0, "frame_rate": 25.0, **fields}
    return f"print('ready'); print({json.dumps(said)!r})"
