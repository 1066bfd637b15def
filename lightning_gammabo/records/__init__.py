"""What a search leaves behind: trials, results, one record for each searched epoch.

Everything here is frozen and holds plain values, so that a record can be written as JSON, put into a checkpoint and
read back with ``weights_only=True``. Nothing here knows of networks, of Lightning or of BoTorch.
"""

from lightning_gammabo.records.history import SearchHistory
from lightning_gammabo.records.trial import EpochRate, EpochRecord, Outcome, Result, Trial, TrialState, has_exploded

__all__ = ["EpochRate", "EpochRecord", "Outcome", "Result", "SearchHistory", "Trial", "TrialState", "has_exploded"]
