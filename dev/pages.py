"""The pages that people read, and what is in them: snippets, tables, prose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

README = ROOT / "README.md"

#: Every page: README, the site's, and those beside README.
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]

_FENCE = re.compile(r"^(?P<fence>`{3,}|:{3,})[^\n]*\n.*?^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    """Return a page's code blocks in a language."""
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, down to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"There is no heading {heading!r}.")
    return re.split(rf"^#{{1,{len(found[1])}}} ", text[found.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Return the rows of all tables of a text, without their headings."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    ruled = {number for number, row in enumerate(cells) if set("".join(row)) <= set("-: ")}
    return [row for number, row in enumerate(cells) if not {number, number + 1} & ruled]


def prose_of(text: str) -> Iterator[str]:
    """Yield the paragraphs and list items of a page, each as one line, without code, tables and headings."""
    text = _FENCE.sub("", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"^(#|\||\s*<|!\[|\([\w-]+\)=$).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*(?:[-*]|\d+\.) ", "\n\n", text, flags=re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n", text):
        if line := " ".join(paragraph.split()):
            yield line


def is_file(snippet: str) -> bool:
    """Return whether a snippet is a file of the reader's own tests: its first line is its path, as a comment."""
    return re.match(r"# (tests|dags)/\w+\.py\n", snippet) is not None


def dags() -> dict[str, str]:
    """Return the snippets that are Dags, by their Dag's ID."""
    found: dict[str, str] = {}
    for page in PAGES:
        for snippet in blocks(page.read_text(), "python"):
            if is_file(snippet):  # tests/integration/test_testing.py runs it
                continue
            if named := re.search(r"\bDAG\(\s*\"(\w+)\"", snippet):
                if named[1] in found:
                    raise ValueError(f"Two snippets have the Dag {named[1]!r}; {page.name} has the second.")
                found[named[1]] = snippet
    return found


def commands(text: str) -> list[str]:
    """Return the commands that a page shows: the lines of ``sh``, and those after ``$`` of ``console``."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    session = "".join(blocks(text, "console")).replace("\\\n", " ")
    return lines + re.findall(r"^\$ (.*)$", session, re.MULTILINE)
