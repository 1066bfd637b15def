"""The two names under which Lightning is installed, ``lightning.pytorch`` and ``pytorch_lightning``: as good as one.

They are copies of the same code with classes of their own, and each looks with ``isinstance`` for its own ``Callback``
(Trainers before 2.6, any ``LightningCLI``, ``Trainer(callbacks=one)``). So a callback of this package has to be one of
both. The second namespace is not imported for that: nobody can ask for its class who has not imported it.
"""

from __future__ import annotations

import sys

__all__ = ["NAMESPACES", "join_namespaces"]

NAMESPACES = ("lightning.pytorch", "pytorch_lightning")


def join_namespaces(callback: type) -> None:
    """Make a callback class one of every namespace that was imported by now; cheap, and safe to call again.

    To be called wherever the class is looked up or an object of it is made: the namespace that is in use may have been
    imported after this package.

    Args:
        callback: a class derived from the ``Callback`` of one of them.

    Example:
        >>> from lightning.pytorch import Callback
        >>> class Mine(Callback): ...
        >>> join_namespaces(Mine)
        >>> issubclass(Mine, Callback)
        True
    """
    for namespace in NAMESPACES:
        # a module that is being imported just now has no Callback yet
        theirs = getattr(sys.modules.get(namespace), "Callback", None)
        if theirs is not None and not issubclass(callback, theirs):
            callback.__bases__ = (*callback.__bases__, theirs)
