"""Sphinx: ``make docs``. Warnings are errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

sys.path.insert(0, str(Path(__file__).parent.parent))

project = "lightning_gammabo"
copyright = "the lightning_gammabo contributors"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "results"]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "notes_style")]

html_theme = "furo"
html_title = "GammaLRSearch"
html_math_renderer = "mathml"
smartquotes = False


def visit_math(translator: Any, node: Any) -> None:
    """Formulas as MathML, which browsers draw themselves: the pages fetch nothing from the network.

    Raises:
        SkipNode: always; the translator writes nothing more of the formula.
    """
    block = node.tagname == "math_block"
    mathml = tex2mathml(node.astext(), as_block=block)
    translator.body.append(f'<div class="math">{mathml}</div>' if block else mathml)
    raise SkipNode


def setup(app: Any) -> None:
    """Sphinx calls it when it begins."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
