"""``python -m lightning_gammabo``: the same as the command ``lightning-gammabo``."""

from lightning_gammabo.cli.main import main

if __name__ == "__main__":
    main()
