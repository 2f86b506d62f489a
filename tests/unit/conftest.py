"""How many examples hypothesis tries: a few in `make unit`, always the same ones, and very many others in a soak."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.support.sizes import examples

settings.register_profile("by size", examples(25, 2000))
settings.load_profile("by size")


@pytest.hookimpl(tryfirst=True)  # before the marks decide what runs
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have `make soak` run whatever has examples."""
    for item in items:
        if item.path.is_relative_to(__file__.removesuffix("conftest.py")) and is_hypothesis_test(item):
            item.add_marker("soak")


def is_hypothesis_test(item: pytest.Item) -> bool:
    return bool(getattr(getattr(item, "obj", None), "is_hypothesis_test", False))
