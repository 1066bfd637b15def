"""Which cells of the matrices of trust are run: a few in every run, all of them with ``GAMMABO_MATRIX=whole``."""

from __future__ import annotations

import os

import pytest

WHOLE = os.environ.get("GAMMABO_MATRIX") == "whole"
whole_only = pytest.mark.skipif(not WHOLE, reason="a cell of the whole matrix: GAMMABO_MATRIX=whole")
