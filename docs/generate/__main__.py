"""Makes the pages of the site from docs/*.md and from the code; with --readme, the figures in README.md.

python -m docs.generate .pages        # then: mkdocs build --strict
python -m docs.generate --readme
"""

from __future__ import annotations

import argparse
from pathlib import Path

from docs.generate.pages import stage, write_readme


def main() -> None:
    """Read the arguments, do it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", nargs="?", type=Path, help="folder for the pages; made anew")
    parser.add_argument("--readme", action="store_true", help="write the figures into README.md")
    given = parser.parse_args()
    if given.readme:
        write_readme()
    if given.out:
        stage(given.out)
    if not given.readme and not given.out:
        parser.error("a folder or --readme is wanted")


main()
