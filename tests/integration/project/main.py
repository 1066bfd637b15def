from __future__ import annotations

from lightning.pytorch.cli import LightningCLI

from tests.integration.project.model import Classifier, Numbers


def main() -> LightningCLI:
    return LightningCLI(Classifier, Numbers)


if __name__ == "__main__":
    main()
