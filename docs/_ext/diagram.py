"""The directive ``diagram``: a drawing in plain text becomes a picture inside the page, in the page's own colours."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinxcontrib.svgbob._svgbob import to_svg

#: Pixels that Svgbob gives to a character.
CHARACTER = 8


class Diagram(SphinxDirective):
    """Draw the content, in Svgbob's notation; ``alt`` says in words what it shows."""

    has_content = True
    option_spec = {"alt": directives.unchanged_required}  # noqa: RUF012 (docutils' own declaration)

    def run(self) -> list[nodes.Node]:
        """Return the picture as HTML, and the text for other builders."""
        text = "\n".join(self.content)
        svg = to_svg(text, background_color="transparent", fill_color="currentColor", stroke_color="currentColor")
        svg = re.sub(r"<style>.*?</style>", "", svg, flags=re.DOTALL)  # site.css has it, for all of them
        svg = svg.replace("<svg ", f'<svg role="img" aria-label="{self.options["alt"]}" ', 1)
        width = CHARACTER * max(map(len, self.content))
        html = f'<div class="diagram" tabindex="0" style="--width: {width}px">{svg}</div>'
        return [nodes.raw("", html, format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("diagram", Diagram)
    return {"parallel_read_safe": True}
