"""Augmentations that blend images: the labels a network learns follow its pictures."""

import pytest
import torch
import torch.nn.functional as F

from limbeck.augment.base import Augmentation, Draw
from limbeck.errors import UsageError
from limbeck.synthetic import LabelProjector
from limbeck.training import Epochs, Steps, TrainData, fit

SHARE = 0.7


class Blend(Augmentation):
    """Blends each image with the one before it in the batch, and remembers its draws."""

    independent, mixes_labels = False, True
    name = "blend"

    def __init__(self):
        super().__init__()
        self.draws, self.labels = [], []

    def draw(self, rows, generator, *, one_op=False):
        self.draws.append(Draw(torch.zeros(rows, dtype=torch.int64), torch.rand(rows, 1, generator=generator)))
        return self.draws[-1]

    def apply(self, images, draw):
        return SHARE * images + (1 - SHARE) * images.roll(1, 0)

    def mix(self, labels, draw):
        self.labels.append(labels)
        return SHARE * labels + (1 - SHARE) * labels.roll(1, 0)


class Known(LabelProjector):
    """Stored soft labels; remembers the images it was shown."""

    def __init__(self, soft, plan=None):
        super().__init__()
        self.soft, self.planned, self.seen = soft, plan, []

    def plan(self, index, epoch, generator):
        return self.planned

    def labels(self, images, index, epoch, draw):
        self.seen.append(images)
        return self.soft[index]


class Teacher(Known):
    labels_any_image = True


def one_step(network, data, **options):
    state = network.initial(torch.Generator().manual_seed(0))
    options = {"lr": 0.1, "seeds": [0], **options}
    return fit(network, start=[state], data=data, budget=Steps(1), batch_size=len(data), **options).states[0]


def blended(values):
    return SHARE * values + (1 - SHARE) * values.roll(1, 0)


def shuffled(recorder, network, **options):
    """The images and labels in the order of the only batch."""
    samples = recorder()
    one_step(network, samples, **options)
    return torch.tensor(samples.batches[0])


@pytest.mark.parametrize("loss", ["ce", "soft_ce", "mse"])
def test_class_ids_become_the_shares_of_the_pictures(network, data, recorder, assert_same, loss):
    order = shuffled(recorder, network)
    blend = Blend()
    found = one_step(network, data, augmentation=blend, loss=loss)
    one_hot = F.one_hot(data.labels, 3).double()
    assert torch.equal(blend.labels[0], one_hot[order])
    by_hand = TrainData(blended(data.images[order]), blended(one_hot[order]))
    assert_same(found, one_step(network, by_hand, loss=loss), 1e-12)


def test_it_is_the_weighted_sum_of_two_cross_entropies(network, data, recorder, assert_same):
    order = shuffled(recorder, network)
    found = one_step(network, data, augmentation=Blend())
    state = network.initial(torch.Generator().manual_seed(0))
    leaves = {name: state[name].clone().requires_grad_() for name in network.parameter_names}
    logits, own = network({**state, **leaves}, blended(data.images[order])), data.labels[order]
    loss = SHARE * F.cross_entropy(logits, own) + (1 - SHARE) * F.cross_entropy(logits, own.roll(1))
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    expected = {name: leaf.detach() - 0.1 * g for (name, leaf), g in zip(leaves.items(), gradients, strict=True)}
    assert_same({name: found[name] for name in expected}, expected, 1e-12)


def test_soft_labels_are_mixed_as_they_are(network, data, recorder, assert_same):
    order = shuffled(recorder, network)
    soft = torch.softmax(torch.randn(10, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64), 1)
    by_hand = one_step(network, TrainData(blended(data.images[order]), blended(soft[order])))
    assert_same(one_step(network, TrainData(data.images, soft), augmentation=Blend()), by_hand, 1e-12)
    assert_same(one_step(network, data, labels=Known(soft), augmentation=Blend()), by_hand, 1e-12)


def test_a_planned_draw_is_the_one_labels_are_mixed_by(network, data, recorder):
    planned = Draw(torch.zeros(10, dtype=torch.int64), torch.zeros(10, 1))
    blend, seen = Blend(), []
    blend.mix = lambda labels, draw: seen.append(draw) or labels
    soft = torch.full((10, 3), 1 / 3, dtype=torch.float64)
    one_step(network, data, labels=Known(soft, planned), augmentation=blend)
    assert seen == [planned] and not blend.draws


def test_who_labels_the_pictures_themselves_is_not_mixed(network, data, recorder):
    order = shuffled(recorder, network)
    blend, teacher = Blend(), Teacher(torch.full((10, 3), 1 / 3, dtype=torch.float64))
    one_step(network, data, labels=teacher, augmentation=blend)
    assert not blend.labels
    torch.testing.assert_close(teacher.seen[0], blended(data.images[order]))


def test_weights_of_single_images_do_not_fit_blended_ones(network, data):
    with pytest.raises(UsageError, match="sample_weights belong to single images, but augmentation 'blend'"):
        one_step(network, data, augmentation=Blend(), sample_weights=torch.ones(10))


def test_a_cut_batch_is_blended_whole(network, data, assert_same):
    whole = one_step(network, data, augmentation=Blend())
    assert_same(one_step(network, data, augmentation=Blend(), chunk=3), whole, 1e-12)


def test_masked_classes_take_no_part(network, data, assert_same):
    kept = TrainData(data.images[data.labels < 2], data.labels[data.labels < 2])
    mask = torch.tensor([True, True, False])
    found = one_step(network, kept, augmentation=Blend(), class_mask=mask)
    start = network.initial(torch.Generator().manual_seed(0))
    name = next(name for name in reversed(network.parameter_names) if name.endswith("bias"))
    assert found[name][2] == start[name][2] and found[name][0] != start[name][0]


def test_a_training_that_mixes_goes_on_to_the_same_bits(network, data, assert_same):
    options = {"start": [3], "data": data, "lr": 0.05, "momentum": 0.9, "batch_size": 4, "augmentation": Blend()}
    half = fit(network, budget=Epochs(2), **options)
    whole = fit(network, budget=Epochs(4), **options)
    assert_same(fit(network, budget=Epochs(4), resume_from=half, **options).states[0], whole.states[0])
