"""What the reference says besides a docstring: each parameter's default, and what Airflow does about each error."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

from airflow_provider_pika.exceptions import PikaError

#: A field of a docstring that stands for a parameter.
_PARAMETER = re.compile(r":param (\w+):")


def add_facts(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Complete the docstring of a class, in place."""
    if what == "module":
        lines.clear()  # it is for those who change the code
    if what != "exception" and inspect.isclass(obj):
        lines[:] = with_defaults(lines, obj)
    if what == "exception" and issubclass(obj, PikaError) and obj is not PikaError:
        lines += about_retries(obj)


def without_parameters(app: Sphinx, what: str, *_: Any) -> tuple[str, str] | None:
    """Return nothing as the signature of a class: its path is what a Dag imports, and the fields say the rest."""
    return ("", "") if what in ("class", "exception") else None


def with_defaults(lines: list[str], kind: type) -> list[str]:
    """Return a docstring whose parameters say what they are by default, and whether they are templates."""
    known = inspect.signature(kind.__init__).parameters
    templates = getattr(kind, "template_fields", ())
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.startswith(":") or not line.strip():
            blocks.append([])
        blocks[-1].append(line)
    for block in blocks:
        named = _PARAMETER.match(block[0]) if block else None
        if named and named[1] in known:
            facts = ["Template."] if named[1] in templates else []
            default = known[named[1]].default
            facts += [] if default is inspect.Parameter.empty else [f"Default: ``{_shown(default)}``."]
            block[-1] = " ".join([block[-1], *facts])
    return [line for block in blocks for line in block]


def about_retries(error: type[PikaError]) -> list[str]:
    """Return what an error means for the task, as its message says it."""
    helps = "A retry can help." if error.retry_helps else "A retry cannot help."
    return ["", f"**{helps}** {error.advice}".rstrip(), ""]


def _shown(default: Any) -> str:
    return json.dumps(default) if isinstance(default, str) else repr(default)


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.connect("autodoc-process-docstring", add_facts)
    app.connect("autodoc-process-signature", without_parameters)
    return {"parallel_read_safe": True}
