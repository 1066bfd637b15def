"""The site as ``make docs`` builds it: ``python -m tests.integration.docs.build DOCS OUT``."""

from __future__ import annotations

import sys
from pathlib import Path


def main(docs: str, out: str) -> None:
    from sphinx.cmd.build import build_main

    options = ["-W", "--keep-going", "-q", "-b", "html", "-d", str(Path(out, "trees"))]
    sys.exit(build_main([*options, docs, str(Path(out, "html"))]))


if __name__ == "__main__":
    main(*sys.argv[1:])
