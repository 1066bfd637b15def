"""What a search leaves behind: trials, results, one record for each searched epoch and one for each trained epoch.

Everything here is frozen and holds plain values, so that a record can be written as JSON, put into a checkpoint and
read back with ``weights_only=True``. Nothing here knows of networks, of Lightning or of BoTorch.
"""

from lightning_gammabo.records.epoch import EpochRate, EpochRecord, TrainedEpoch
from lightning_gammabo.records.history import SearchHistory
from lightning_gammabo.records.run import RunInfo
from lightning_gammabo.records.trial import Outcome, Result, Trial, TrialState, has_exploded, paired_error

__all__ = [
    "EpochRate",
    "EpochRecord",
    "Outcome",
    "Result",
    "RunInfo",
    "SearchHistory",
    "TrainedEpoch",
    "Trial",
    "TrialState",
    "has_exploded",
    "paired_error",
]
