"""scvi-tools, ``lightning.pytorch``: TOTALVI, whose adversarial plan optimises by hand with two optimizers.

``pip install scvi-tools`` (1.4). Callbacks are handed to ``train(callbacks=...)``. The data are scvi-tools' own
synthetic cells. The plan steps its ``ReduceLROnPlateau`` itself at the end of an epoch; the search multiplies it.
"""

from __future__ import annotations

from typing import Any

import scvi
from client_check import EPOCHS, check


def train(callbacks: list[Any]) -> Any:
    scvi.settings.seed = 0
    cells = scvi.data.synthetic_iid(batch_size=300, n_genes=40, n_proteins=10)
    scvi.model.TOTALVI.setup_anndata(cells, batch_key="batch", protein_expression_obsm_key="protein_expression")
    model = scvi.model.TOTALVI(cells, n_latent=5)
    model.train(max_epochs=EPOCHS, batch_size=32, accelerator="cpu", adversarial_classifier=True, callbacks=callbacks)
    return model.trainer


if __name__ == "__main__":
    check("scvi-tools", "TOTALVI, adversarial", train)
