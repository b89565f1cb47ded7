"""Sphinx's settings; run through `make lint` or `make docs`. Nothing is fetched from the network."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import generated  # noqa: E402 - found through the line above
import notebooks  # noqa: E402 - the same

from sciserver_common import __version__  # noqa: E402

project = "SciServer on JupyterHub"
copyright = "SciServer contributors, Apache-2.0"
version = release = __version__

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 3
# Help texts of options write literals with one backtick or with two; both shall look the same.
default_role = "literal"
exclude_patterns = ["_build", "images"]
nitpicky = True

html_theme = "pydata_sphinx_theme"
html_title = project
html_logo = html_favicon = None
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_context = {"default_mode": "auto"}


def setup(app):
    """Write the generated pages before Sphinx looks for its sources."""
    generated.write(HERE / "reference" / "generated")
    notebooks.write(HERE / "tutorial" / "generated")
