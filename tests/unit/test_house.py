"""The shape of the house: what may import what."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_pika

PACKAGE = Path(airflow_provider_pika.__file__).parent

#: What everything may import: they import nothing of ours but each other.
EVERYWHERE = {"exceptions", "strict_json", "get_provider_info"}

#: Which rooms a room may import from. Imports point down only.
MAY_IMPORT: dict[str, set[str]] = {
    "retry_policy": set(),
    "links": set(),
    "fal": set(),
    "media": {"fal.network"},
    "task": {"fal"},
    "saving": {"task", "media", "fal"},
    "batch": {
        "saving.object_store",
        "saving.json_lines",
        "saving.clip_paths",
        "saving.batch",
        "saving.metadata",
        "task",
        "fal",
    },
    "review": {"task", "fal"},
    "hooks": {"task", "media", "fal"},
    "triggers": {"hooks", "batch", "task", "fal"},
    "operators": {"triggers", "hooks", "batch", "review", "saving", "task", "media", "fal", "links"},
}
MAY_IMPORT |= {
    room: MAY_IMPORT["operators"] | {"operators"} for room in ("decorators", "transfers", "sensors", "plugins")
}
MAY_IMPORT["cli"] = MAY_IMPORT["operators"] | {"operators", "emulator.__main__"}  # it hands over to that command line
MAY_IMPORT["__main__"] = {"cli"}

#: Rooms that work without Airflow.
WITHOUT_AIRFLOW = {"fal", "media", "emulator", "exceptions", "strict_json", "get_provider_info"}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import names its module in full"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def test_every_room_has_its_line_in_the_table() -> None:
    rooms = {name_of(path).split(".")[0] for path in MODULES}
    assert rooms - EVERYWHERE - {"emulator"} <= set(MAY_IMPORT)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down_only(path: Path) -> None:
    room = name_of(path).split(".")[0]
    below = {room} | EVERYWHERE | MAY_IMPORT.get(room, set()) | {"__version__"}
    for name in imports_of(path):
        assert name.split(".")[0] != "airflow" or room not in WITHOUT_AIRFLOW, name
        if name.startswith("airflow_provider_pika."):
            wanted = name.removeprefix("airflow_provider_pika.")
            if room == "emulator":  # it shares no code with what it tests
                assert wanted.startswith("emulator"), name
            else:
                assert any(wanted == each or wanted.startswith(f"{each}.") for each in below), name


def constants_of(code: str) -> dict[str, int]:
    """Return the line of each constant of a module."""
    found: dict[str, int] = {}
    for node in ast.parse(code).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names = [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
        found |= {name: node.lineno for name in names if re.fullmatch("_?[A-Z][A-Z0-9_]+", name)}
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_constant_says_in_the_line_above_it_what_it_is_for(path: Path) -> None:
    lines = ["", *path.read_text().splitlines()]
    assert {
        name for name, line in constants_of(path.read_text()).items() if not lines[line - 1].startswith("#:")
    } == set()


def test_the_map_names_files_that_there_are() -> None:
    root = PACKAGE.parent
    named = set(re.findall(r"`([\w./]+(?:/|\.py|\.md|\.txt))`", (root / "CONTRIBUTING.md").read_text()))
    assert "fal/poll_interval.py" in named
    assert {name for name in named if not (root / name).exists() and not (PACKAGE / name).exists()} == set()


def test_every_folder_of_the_package_is_in_the_map() -> None:
    contributing = (PACKAGE.parent / "CONTRIBUTING.md").read_text()
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {name for name in folders if f"{name}/" not in contributing} == set()


def test_the_lower_floor_works_without_airflow() -> None:
    code = (
        "import sys; sys.modules['airflow'] = None\n"
        "import airflow_provider_pika.fal.client, airflow_provider_pika.fal.progress\n"
        "import airflow_provider_pika.media.download, airflow_provider_pika.media.verify; print('ok')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "ok\n", done.stderr
