"""Labels, weights, masks and losses: what a batch's loss is."""

import pytest
import torch
import torch.nn.functional as F

from limbeck.augment.base import Draw
from limbeck.errors import DataError
from limbeck.synthetic import LabelProjector
from limbeck.training import Epochs, Steps, TrainData, fit
from limbeck.training.losses import Objective, batch_loss, sample_losses


@pytest.fixture
def logits():
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def soft():
    noise = torch.randn(6, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return torch.softmax(noise, 1)


def test_losses_equal_pytorchs(logits, soft):
    hard = torch.tensor([0, 1, 2, 3, 0, 1])
    expected = F.cross_entropy(logits / 2, hard, reduction="none")
    for loss in ("ce", "soft_ce", "kl"):
        torch.testing.assert_close(sample_losses(logits, hard, loss, temperature=2), expected)
        one_hot = F.one_hot(hard, 4).double()
        torch.testing.assert_close(sample_losses(logits, one_hot, loss, temperature=2), expected)
    torch.testing.assert_close(sample_losses(logits, soft, "soft_ce"), F.cross_entropy(logits, soft, reduction="none"))
    torch.testing.assert_close(
        sample_losses(logits, soft, "kl", temperature=3).mean(),
        F.kl_div(F.log_softmax(logits / 3, 1), soft, reduction="batchmean"),
    )
    torch.testing.assert_close(sample_losses(logits, soft, "mse").mean(), F.mse_loss(logits, soft))
    torch.testing.assert_close(
        sample_losses(logits, hard, "mse"), sample_losses(logits, F.one_hot(hard, 4).double(), "mse")
    )


@pytest.mark.parametrize("loss", ["ce", "soft_ce", "kl", "mse"])
def test_masked_classes_are_as_if_they_were_not_there(logits, soft, loss):
    mask = torch.tensor([True, True, False, True])
    kept = soft[:, mask] if loss == "mse" else soft[:, mask] / soft[:, mask].sum(1, keepdim=True)
    torch.testing.assert_close(
        sample_losses(logits, soft, loss, class_mask=mask), sample_losses(logits[:, mask], kept, loss)
    )


def test_weights_are_divided_by_the_batch_or_by_their_sum():
    losses, weights = torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([1, 0, 0, 1])
    assert batch_loss(losses, None) == 15 / 4
    assert batch_loss(losses, weights, "constant") == 9 / 4
    assert batch_loss(losses, weights, "sum") == 9 / 2
    assert batch_loss(losses, torch.zeros(4), "sum") == 0


@pytest.mark.parametrize(("mask_norm", "lr"), [("sum", 0.1), ("constant", 0.1 * 4 / 10)])
def test_masking_samples_equals_training_without_them(network, data, assert_same, mask_norm, lr):
    mask = torch.zeros(10)
    mask[:4] = 1
    masked = fit(network, start=[0], data=data, lr=0.1, budget=Steps(4), sample_weights=mask[None], mask_norm=mask_norm)
    fewer = TrainData(data.images[:4], data.labels[:4])
    assert_same(masked.states[0], fit(network, start=[0], data=fewer, lr=lr, budget=Steps(4)).states[0], 1e-12)


@pytest.mark.parametrize("mask_norm", ["constant", "sum"])
def test_all_weights_zero_change_nothing(network, data, assert_same, mask_norm):
    how = {"start": [0], "data": data, "sample_weights": torch.zeros(10), "mask_norm": mask_norm}
    before = fit(network, lr=0.1, budget=Steps(0), **how).states[0]
    assert_same(fit(network, lr=0.1, budget=Steps(3), batch_size=3, **how).states[0], before)


@pytest.mark.parametrize(
    "per_network",
    [
        {"sample_weights": torch.tensor([[1.0] * 5 + [0.0] * 5, [0.0] * 3 + [2.5] * 7])},
        {"labels": torch.tensor([[0, 1] * 5, [2, 1] * 5])},
        {"labels": torch.rand(2, 10, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)},
        {"lr": [0.1, 0.3]},
        {"weight_decay": [0.0, 0.1]},
    ],
    ids=lambda argument: next(iter(argument)),
)
def test_what_is_given_per_network_reaches_that_network(network, data, assert_same, differ, per_network):
    how = {"data": data, "lr": 0.1, "budget": Epochs(2), "batch_size": 4, "seeds": [0, 0]}
    both = fit(network, start=[0, 0], **how | per_network)
    for position in range(2):
        own = {name: value[position] for name, value in per_network.items()}
        alone = fit(network, start=[0], **how | {"seeds": [0]} | own)
        assert_same(both.states[position], alone.states[0])
    assert differ(both.states[0], both.states[1])


def test_class_mask_leaves_its_classes_untouched_and_unpredicted(network, data):
    two = TrainData(data.images, data.labels % 2)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    how = {"start": [0, 0], "data": two, "lr": 0.1, "eval_sets": {"it": two}}
    start = fit(network, budget=Steps(0), **how).states[0]["5.weight"]
    result = fit(network, budget=Steps(3), class_mask=mask, **how)
    assert not torch.equal(result.states[0]["5.weight"][2], start[2])
    assert torch.equal(result.states[1]["5.weight"][2], start[2])
    third = TrainData(data.images, torch.full((10,), 2))
    with pytest.raises(DataError, match="class_mask leaves out classes of 10"):
        fit(network, start=[0], data=third, lr=0.1, budget=Steps(1), class_mask=mask[1])
    fit(
        network,
        start=[0],
        data=third,
        lr=0.1,
        budget=Steps(1),
        class_mask=mask[1],
        sample_weights=torch.zeros(10),
    )


def test_predictions_stay_inside_the_class_mask(network, data):
    third = TrainData(data.images, torch.full((10,), 2))
    inside = fit(
        network,
        start=[0],
        data=data,
        lr=0.0,
        budget=Steps(0),
        class_mask=torch.tensor([False, False, True]),
        sample_weights=torch.zeros(10),
        eval_sets={"it": third},
    )
    assert inside.metrics[0]["it"].overall == 1
    outside = fit(
        network,
        start=[0],
        data=data,
        lr=0.0,
        budget=Steps(0),
        class_mask=torch.tensor([True, True, False]),
        sample_weights=torch.zeros(10),
        eval_sets={"it": third},
    )
    assert outside.metrics[0]["it"].overall == 0


class Stored(LabelProjector):
    """Gives stored labels, remembers the calls, and may dictate the augmentation."""

    def __init__(self, stored, planned=None):
        super().__init__()
        self.stored, self.planned, self.calls = stored, planned, []

    def plan(self, index, epoch, generator):
        if self.planned is None:
            return None
        return Draw(torch.zeros(len(index), dtype=torch.int64), self.planned[index][:, None])

    def labels(self, images, index, epoch, draw):
        self.calls.append((images.clone(), index.tolist(), epoch, draw))
        return self.stored[index]


def test_projector_gives_the_labels_of_each_batch(network, data, assert_same):
    how = {"start": [0], "data": data, "lr": 0.1, "budget": Epochs(2), "batch_size": 4}
    projector = Stored(data.labels)
    assert_same(fit(network, labels=projector, **how).states[0], fit(network, **how).states[0])
    assert [call[2] for call in projector.calls] == [0, 0, 0, 1, 1, 1]
    for images, index, _, draw in projector.calls:
        assert torch.equal(images, data.images[index])
        assert draw is None


def test_projector_sees_the_augmented_images_and_their_draw(network, data, shift):
    projector = Stored(data.labels)
    fit(network, start=[0], data=data, labels=projector, lr=0.1, budget=Epochs(1), augmentation=shift)
    images, index, _, draw = projector.calls[0]
    assert torch.equal(images, shift.apply(data.images[index], draw))


def test_projector_may_dictate_the_augmentation(network, data, shift):
    planned = torch.arange(10.0)
    projector = Stored(data.labels, planned)
    fit(network, start=[0], data=data, labels=projector, lr=0.1, budget=Epochs(1), augmentation=shift)
    assert shift.asked == []
    images, index, _, _ = projector.calls[0]
    assert torch.equal(images, data.images[index] + planned[index].double()[:, None, None, None])


def test_temperature_and_loss_reach_the_batch(network, data, differ, assert_same):
    how = {"start": [0], "data": data, "lr": 0.1, "budget": Steps(2)}
    soft = {"labels": torch.softmax(torch.arange(30.0, dtype=torch.float64).reshape(10, 3) % 7, 1)}
    kl = fit(network, loss="kl", temperature=4.0, **soft, **how).states[0]
    assert_same(kl, fit(network, loss="soft_ce", temperature=4.0, **soft, **how).states[0], 1e-12)
    assert differ(kl, fit(network, loss="kl", **soft, **how).states[0])
    assert differ(kl, fit(network, loss="mse", **soft, **how).states[0])


def test_objective_is_the_mean_of_its_parts(logits, soft):
    weights = torch.arange(6.0)
    expected = (sample_losses(logits, soft, "kl", temperature=2) * weights).sum() / weights.sum()
    torch.testing.assert_close(Objective("kl", 2.0, "sum")(logits, soft, weights), expected)
