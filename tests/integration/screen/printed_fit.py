"""One searched fit as a user starts it: ``python -m tests.integration.screen.printed_fit FOLDER``."""

from __future__ import annotations

import os
import sys
import warnings

from tests.helpers.searching import searching
from tests.helpers.trainers import loaders, trainer_of
from tests.integration.identity.scenarios import Net


def main(folder: str) -> None:
    warnings.simplefilter("ignore")
    os.chdir(folder)
    search = searching(history_file="history.jsonl")
    trainer_of(search).fit(Net(), *loaders())
    print(search.history)


if __name__ == "__main__":
    main(*sys.argv[1:])
