"""Real data: bytes on the device, indexed by group, normalised when drawn."""

from limbeck.data.dataset import DataSet, Dataset, RawData, missing_data
from limbeck.data.load import channel_statistics, load_dataset
from limbeck.data.real import RealData
from limbeck.data.spec import DataSpec
from limbeck.files import default_root

__all__ = [
    "DataSet",
    "DataSpec",
    "Dataset",
    "RawData",
    "RealData",
    "channel_statistics",
    "default_root",
    "load_dataset",
    "missing_data",
]
