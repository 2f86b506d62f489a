"""The cookbook's pages and the example Dags belong together: each Dag is shown, and run by a test."""

from __future__ import annotations

import importlib
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

ROOT = Path(__file__).parents[2]
COOKBOOK = ROOT / "docs" / "cookbook"
INDEX = (COOKBOOK / "index.md").read_text()
PAGES = sorted(path for path in COOKBOOK.glob("*.md") if path.name != "index.md")
EXAMPLES = sorted((ROOT / "example_dags").glob("example_*.py"))

#: Examples that no recipe shows: the first Dag of all, and the one that the page about many prompts explains.
SHOWN_ELSEWHERE = {"example_pika_text_to_video", "example_pika_many_prompts"}


def included(page: Path) -> list[str]:
    """Return the examples that a page shows whole."""
    return re.findall(r"^```\{literalinclude\} \.\./\.\./example_dags/(\w+)\.py$", page.read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_recipe_opens_with_what_the_reader_gets_and_shows_one_whole_dag(page: Path) -> None:
    title, empty, first, *_ = page.read_text().splitlines()
    assert title.startswith("# ")
    assert empty == ""
    assert first.startswith("You get ")
    [shown] = included(page)
    assert (ROOT / "example_dags" / f"{shown}.py").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_recipe_is_in_the_table_and_in_the_contents(page: Path) -> None:
    assert f"({page.name})" in INDEX
    assert page.stem in INDEX.rpartition("```{toctree}")[2].splitlines()


def test_every_example_is_shown_by_one_recipe() -> None:
    shown = [name for page in PAGES for name in included(page)]
    assert sorted([*shown, *SHOWN_ELSEWHERE]) == [path.stem for path in EXAMPLES]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_run_by_a_test(example: Path) -> None:
    tests = [path for room in ("integration", "system") for path in (ROOT / "tests" / room).glob("test_*.py")]
    for dag_id in re.findall(r"^def (example_\w+)\(", example.read_text(), re.MULTILINE):
        assert any(f'"{dag_id}"' in path.read_text() for path in tests), dag_id


def _refuse(*_: Any) -> None:
    raise AssertionError("an example asks the network when it is parsed")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The examples' folder as Airflow has it, and no network."""
    monkeypatch.syspath_prepend(str(ROOT / "example_dags"))
    monkeypatch.setattr(socket.socket, "connect", _refuse)
    monkeypatch.setattr(socket, "getaddrinfo", _refuse)
    yield
    for path in (ROOT / "example_dags").glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_parsed_without_a_network(example: Path, offline: None) -> None:
    module = importlib.import_module(example.stem)
    made = [getattr(module, name)() for name in dir(module) if name.startswith("example_")]
    assert made
    assert all(isinstance(dag, DAG) and "pika" in dag.tags for dag in made)


def test_what_examples_share_is_no_dag_file() -> None:
    ignored = (ROOT / "example_dags" / ".airflowignore").read_text().split()
    assert sorted(ignored) == sorted(path.name for path in (ROOT / "example_dags").glob("*.py") if path not in EXAMPLES)
