"""How Sphinx builds the site: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from airflow_provider_pika import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "airflow-provider-pika"
author = "the contributors"
release = version = __version__
html_title = f"airflow-provider-pika {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "diagram", "reference"]
exclude_patterns = ["_*"]

# Headings down to the fourth level are anchors, so that Sphinx finds a link to one that is gone.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

# Every name in a docstring must lead somewhere, but for those of other projects: there is no network in a build.
nitpicky = True
nitpick_ignore = [("py:exc", "AirflowNotFoundException")]

autodoc_typehints = "none"  # a parameter's field says in words what it takes
autodoc_member_order = "bysource"
toc_object_entries = False  # a page's headings name them

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
copybutton_prompt_text = "$ "
