"""How readable the pages are: words, sentences that are too long, lines, tables. ``python -m dev.readability``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dev.pages import PAGES, ROOT, prose_of

#: Words of a sentence at most.
LONGEST_SENTENCE = 25


@dataclass(frozen=True)
class Page:
    """What is measured of a page: its lines, and the sentences of its prose."""

    name: str
    lines: int
    sentences: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> Page:
        """Read a page."""
        text = path.read_text()
        name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
        return cls(name, text.count("\n"), tuple(sentences_of(text)))

    @property
    def words(self) -> int:
        """How many words its prose has."""
        return sum(map(words_of, self.sentences))

    @property
    def too_long(self) -> list[str]:
        """The sentences that have too many words."""
        return [sentence for sentence in self.sentences if words_of(sentence) > LONGEST_SENTENCE]


def sentences_of(text: str) -> Iterator[str]:
    """Yield the sentences of a page's prose. What stands in backticks is one word."""
    for paragraph in prose_of(text):
        yield from filter(words_of, re.split(r"(?<=[.!?])[)*\"]*\s+(?=[A-Z`*\"(])", paragraph))


def words_of(sentence: str) -> int:
    """Return how many words a sentence has."""
    plain = re.sub(r"`[^`]+`", "code", sentence)
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", plain)
    return sum(any(letter.isalnum() for letter in word) for word in plain.split())


def main(names: list[str]) -> int:
    """Print a line for each page, then the sentences that are too long."""
    pages = [Page.of(Path(name).resolve()) for name in names] or [Page.of(path) for path in PAGES]
    for page in pages:
        print(f"{page.name:<40} {page.lines:>4} lines {page.words:>6} words {len(page.too_long):>4} sentences too long")
    for page in pages:
        for sentence in page.too_long:
            print(f"{page.name}: {words_of(sentence)} words: {sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
