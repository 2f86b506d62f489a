"""The rooms of the emulator: which may import which, and that nothing else of this package comes in."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from airflow_provider_pika import emulator

HOUSE = Path(emulator.__file__).parent
NAME = emulator.__name__

#: Imports point down only.
BELOW: dict[str, set[str]] = {
    "__main__": {"command"},
    "testing": {"process"},
    "process": set(),
    "command": {"app", "options", "api", "http", "data_folder"},
    "app": {"options", "api", "engine", "faults", "http", "data_folder"},
    "options": {"engine", "http"},
    "api": {"engine", "faults", "http", "data_folder"},
    "engine": {"faults", "http", "data_folder"},
    "faults": {"http", "data_folder"},
    "http": {"data_folder"},
    "data_folder": set(),
}

MODULES = sorted(HOUSE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return every module that the file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_module_imports_nothing_of_airflow_and_nothing_of_ours_but_the_emulator(path: Path) -> None:
    for name in imported(path):
        assert name.split(".")[0] != "airflow"
        assert not name.startswith("airflow_provider_pika") or name.startswith(NAME)


@pytest.mark.parametrize("room", BELOW)
def test_a_room_imports_only_those_below(room: str) -> None:
    inside = [path for path in MODULES if path.relative_to(HOUSE).with_suffix("").parts[0] == room]
    assert inside
    for path in inside:
        rooms = {name.removeprefix(f"{NAME}.").split(".")[0] for name in imported(path) if name.startswith(f"{NAME}.")}
        assert rooms <= {room, *BELOW[room]}, path


def test_pytest_is_needed_by_the_fixture_alone() -> None:
    assert [path.name for path in MODULES if {"pytest"} & {name.split(".")[0] for name in imported(path)}] == [
        "testing.py"
    ]
