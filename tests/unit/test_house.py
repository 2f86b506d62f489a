"""The shape of the house: what may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_pika

PACKAGE = Path(airflow_provider_pika.__file__).parent
ERRORS = ("exceptions", "pika_error", "saving_errors", "strict_json")


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def below(folder: str) -> list[Path]:
    return sorted((PACKAGE / folder).glob("*.py"))


@pytest.mark.parametrize(
    "path",
    [*below("fal"), *below("media"), *(PACKAGE / f"{name}.py" for name in ERRORS)],
    ids=lambda path: f"{path.parent.name}.{path.stem}",
)
def test_the_lower_floor_knows_no_airflow(path: Path) -> None:
    for name in imports_of(path):
        assert name.split(".")[0] != "airflow"
        if name.startswith("airflow_provider_pika"):
            assert name.split(".")[1] in ("fal", "media", *ERRORS)
            assert path.parent.name != "fal" or name.split(".")[1] != "media"


@pytest.mark.parametrize("path", below("emulator"), ids=lambda path: path.stem)
def test_the_emulator_shares_no_code_with_what_it_tests(path: Path) -> None:
    for name in imports_of(path):
        assert name.split(".")[0] != "airflow"
        if name.startswith("airflow_provider_pika."):
            assert name.startswith("airflow_provider_pika.emulator")


def test_the_lower_floor_works_without_airflow() -> None:
    code = (
        "import sys; sys.modules['airflow'] = None\n"
        "import airflow_provider_pika.fal.client, airflow_provider_pika.fal.progress\n"
        "import airflow_provider_pika.media.download, airflow_provider_pika.media.verify; print('ok')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "ok\n", done.stderr
