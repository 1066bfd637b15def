"""The words of a report, explained for a reader who has not read the documentation."""

from __future__ import annotations

__all__ = ["GLOSSARY"]

GLOSSARY = {
    "candidate": "A learning rate that is tried: the network trains some steps at it from the epoch's start, is "
    "validated, and is put back.",
    "committed": "The chosen candidate's epoch is the one that counts: the run goes on from its weights.",
    "search score": "What candidates are ranked by, measured in the search, often on a part of the validation data and "
    "after a part of the epoch. It is not what the epoch ended with.",
    "loss, accuracy": "In the table of epochs: what the epoch ended with, as the Trainer logged it.",
    "kappa": "Validation accuracy and loss in one number: accuracy squared minus the logarithm of the loss. Greater is "
    "better; it is negative for large losses. It is not Cohen's kappa.",
    "peak": "The rate at the peak of the annealing schedule; the present rate is the peak times the schedule's factor.",
    "pruned": "Cut short, because its training loss was far behind the best candidate's on the same batches.",
    "diverged": "Its loss or its score was not finite.",
    "failed": "It could not be trained at all, for example for want of memory.",
    "noise": "Standard error of the difference of two scores, measured on the same validation batches (jackknife). "
    "Smaller differences say nothing.",
    "belief": "What the surrogate, a Student-t process, takes the score of each rate for, and how sure it is (95 % "
    "band).",
    "worth trying": "The acquisition: by how much a rate is expected to beat the best score so far, relative to the "
    "best place.",
    "trust region": "The range around the present rate in which later searches propose.",
    "recovery": "The validation loss rose over several epochs: the best epoch's weights were put back and the rate was "
    "halved. The epochs after it are lost.",
    "pass": "One reading of the training data. A plain fit takes one pass for each epoch.",
}
"""what each word of a report means"""
