"""What a caller can get wrong, each answered in one line."""

import pytest
import torch

from limbeck.errors import DataError, UnknownNameError, UsageError
from limbeck.training import Epochs, Steps, TrainData, fit

WRONG = [
    ({"loss": "cse"}, UnknownNameError, "Did you mean 'ce'"),
    ({"optimiser": "adamm"}, UnknownNameError, "Did you mean 'adam'"),
    ({"mask_norm": "summ"}, UnknownNameError, "Did you mean 'sum'"),
    ({"order": "share"}, UnknownNameError, "Did you mean 'shared'"),
    ({"lr": [0.1, 0.2]}, UsageError, "lr: 2 given for 1 networks"),
    ({"weight_decay": []}, UsageError, "weight_decay: 0 given for 1 networks"),
    ({"seeds": [1, 2]}, UsageError, "2 given for 1 networks"),
    ({"labels": torch.zeros(3, 10, dtype=torch.int64)}, UsageError, "labels: 3 given for 1 networks"),
    ({"labels": torch.zeros(9, dtype=torch.int64)}, DataError, "9 labels were given for 10 images"),
    ({"labels": torch.zeros(10)}, DataError, r"labels has shape \[10\]"),
    ({"sample_weights": torch.ones(9)}, DataError, "9 sample_weights were given for 10 images"),
    ({"batch_size": 0}, UsageError, "batch_size is 0"),
    ({"temperature": 0.0}, UsageError, "temperature is 0.0"),
    ({"temperature": 2.0, "loss": "mse"}, UsageError, "mse compares logits"),
    ({"momentum": 0.9, "optimiser": "adam"}, UsageError, "adam takes no momentum"),
    ({"clip": 0.0}, UsageError, "clip is 0.0"),
    ({"sharpness": -1.0}, UsageError, "sharpness is -1.0"),
    ({"dtype": torch.float16}, UsageError, "dtype is float16"),
    ({"snapshots": [3]}, UsageError, "after step 3 was asked for, but the budget ends at 2"),
]


@pytest.mark.parametrize(("argument", "error", "message"), WRONG, ids=lambda value: str(value)[:30])
def test_wrong_argument_is_named(network, data, argument, error, message):
    with pytest.raises(error, match=message):
        fit(network, **{"start": [0], "data": data, "lr": 0.1, "budget": Steps(2)} | argument)


def test_start_states_need_an_owner_of_the_order(network, data):
    state = network.initial(torch.Generator().manual_seed(0))
    with pytest.raises(UsageError, match="give seeds="):
        fit(network, start=[state], data=data, lr=0.1, budget=Steps(1))


def test_data_are_shared_or_one_per_network(network, data):
    with pytest.raises(UsageError, match="data: 2 given for 1 networks"):
        fit(network, start=[0], data=[data, data], lr=0.1, budget=Steps(1))


def test_data_of_any_make_must_hold_an_image(network, data):
    class Empty:
        labels = data.labels[:0]
        __len__ = {}.__len__

    with pytest.raises(DataError, match="no image"):
        fit(network, start=[0], data=Empty(), lr=0.1, budget=Steps(1))


@pytest.mark.parametrize("budget", [Steps, Epochs])
def test_budget_below_zero(budget):
    with pytest.raises(UsageError, match="give 0 or more"):
        budget(-1)


def test_images_and_labels_must_pair_up(data):
    with pytest.raises(DataError, match="10 images came with 9 labels"):
        TrainData(data.images, data.labels[:9])
    with pytest.raises(DataError, match="at least one image"):
        TrainData(data.images[:0], data.labels[:0])
