import pytest
import torch
from torch.utils.data import DataLoader
from torchvision.transforms import Compose, Lambda, Normalize, RandomHorizontalFlip, ToPILImage

from limbeck.errors import LimbeckWarning, UsageError
from limbeck_applications.continual.bridge.datasets import (
    arrived,
    as_dataset,
    check_arity,
    classes_of,
)
from limbeck_applications.continual.bridge.library import avalanche

MEAN, STD = (0.25,), (0.5,)
CLASSES = [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
WORLDS = ["new", "task_aware"]

CPU = torch.device("cpu")


def read(experience, statistics=None, mirror=None):
    return arrived(experience, 10, statistics, mirror, CPU)


@pytest.mark.parametrize("world", WORLDS)
def test_an_experience_arrives_as_the_pixels_it_was_made_of(made, digits, world):
    bytes_of = [tuple((image * 255).round().byte().flatten().tolist()) for image in digits[0].images]
    pixels = dict(zip(bytes_of, digits[0].targets, strict=True))
    for experience, classes in zip(made(world).train_stream, CLASSES, strict=True):
        brought = read(experience)
        assert list(brought.classes) == classes
        assert brought.arity == (2 if world == "new" else 3)
        assert len(brought.real) == 12 * len(classes)
        for image, label in zip(brought.real.images, brought.real.labels.tolist(), strict=True):
            assert pixels[tuple(image.flatten().tolist())] == label
        assert (brought.real.spec.mean, brought.real.spec.std) == (MEAN, STD)


@pytest.mark.parametrize("world", WORLDS)
def test_it_is_seen_as_in_evaluation_and_not_as_in_training(made, world):
    dark = Compose([Lambda(torch.zeros_like), Normalize(MEAN, STD)])
    plain = made(world).train_stream[1]
    brought = read(made(world, train=dark).train_stream[1])
    assert torch.equal(brought.real.images, read(plain).real.images)
    assert float(brought.real.images.max()) == 255


def test_the_task_label_is_kept(made):
    stream = made("task_aware", task_labels=True).train_stream
    assert [read(experience).task for experience in stream] == [0, 1, 2]
    assert {read(e).task for e in made("task_aware").train_stream} == {0}


def test_a_stream_that_flips_makes_flips_harmless(made):
    flips = Compose([RandomHorizontalFlip(), Normalize(MEAN, STD)])
    assert read(made("new", train=flips).train_stream[0]).real.spec.mirror
    assert not read(made("new", train=flips).train_stream[0], mirror=False).real.spec.mirror
    assert not read(made("new").train_stream[0]).real.spec.mirror


def test_images_that_nothing_normalises_are_seen_as_they_are(made):
    nothing = Lambda(torch.clone)
    spec = read(made("new", train=nothing, evaluation=nothing).train_stream[0]).real.spec
    assert (spec.mean, spec.std) == ((0.0,), (1.0,))


def test_a_normalisation_that_cannot_be_read_is_asked_for(made):
    hidden = Lambda(lambda image: (image - 0.25) / 0.5)
    stream = made("new", evaluation=hidden).train_stream
    with pytest.raises(UsageError, match=r"no Normalize was found they lie between -0.5 and 1.5.*mean=\(0.5,\)"):
        read(stream[0])
    expected = read(made("new").train_stream[0]).real.images
    assert torch.equal(read(stream[0], ((0.25,), (0.5,))).real.images, expected)


def test_wrong_statistics_are_refused(made):
    with pytest.raises(UsageError, match="they lie between"):
        read(made("new").train_stream[0], ((0.5,), (1.0,)))


def test_what_is_no_tensor_is_refused(made):
    pictures = made("new", evaluation=ToPILImage()).train_stream
    with pytest.raises(UsageError, match=r"but found Image. Put ToTensor\(\)"):
        read(pictures[0])
    levels = made("new", evaluation=Lambda(lambda image: (image * 255).byte())).train_stream
    with pytest.raises(UsageError, match=r"torch.uint8 \[1, 8, 8\]"):
        read(levels[0])


def test_random_evaluation_transforms_are_warned_of(made):
    flips = Compose([RandomHorizontalFlip(), Normalize(MEAN, STD)])
    with pytest.warns(LimbeckWarning, match=r"draws random numbers \(RandomHorizontalFlip\)"):
        read(made("new", evaluation=flips).train_stream[0])


class Uneven(torch.utils.data.Dataset):
    """Samples of two sizes."""

    targets = (0, 1)

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return (torch.zeros(1, 2, 2), index, 0)[: 2 + index]


def test_samples_of_two_sizes_are_refused(made):
    library = avalanche().benchmarks
    dataset = library.utils.as_classification_dataset(Uneven())
    stream = library.benchmark_from_datasets(train=[dataset]).streams["train"]
    with pytest.raises(UsageError, match=r"have 3 values here, but 2 before.*with_task_labels"):
        read(stream[0])
    with pytest.raises(UsageError, match="have 3 values here, but 2 before"):
        check_arity(made("task_aware").train_stream[0], 2)


def test_a_later_experience_of_another_size_is_seen_at_the_first(made):
    library = avalanche().benchmarks
    parts = [made(world).train_stream[position].dataset for position, world in enumerate(WORLDS)]
    stream = library.benchmark_from_datasets(train=parts).streams["train"]
    with pytest.raises(UsageError, match="have 3 values here, but 2 before"):
        check_arity(stream[0], 2)


def test_an_experience_of_several_task_labels_is_refused(made):
    library = avalanche().benchmarks
    both = [experience.dataset for experience in made("task_aware", task_labels=True).train_stream]
    stream = library.benchmark_from_datasets(train=[both[0].concat(both[1])]).streams["train"]
    with pytest.raises(UsageError, match="2 task labels"):
        read(stream[0])


def test_all_classes_of_an_even_stream_are_there(made):
    for world in WORLDS:
        found = classes_of(made(world).train_stream[0], None)
        assert (found.number, found.missing, found.experiences) == (10, (), 3)


def test_the_class_that_three_even_experiences_drop_is_found(made):
    stream = made("new", order=[3, 1, 2, 0, 4, 5, 6, 9, 8, 7], num_experiences=3).train_stream
    assert classes_of(stream[0], None).missing == (7,)
    with pytest.raises(UsageError, match=r"class 7 is in none of the stream's 3 experiences.*num_classes_per_exp"):
        classes_of(stream[0], 10)


def test_num_classes_above_or_below_what_is_there_is_refused(made):
    with pytest.raises(UsageError, match="a class 9, so num_classes must be above it, not 9"):
        classes_of(made("new").train_stream[0], 9)
    with pytest.raises(UsageError, match="class 10 is in none"):
        classes_of(made("new").train_stream[0], 11)


def test_classes_numbered_anew_in_each_task_are_not_missing(digits):
    stream = (
        avalanche()
        .benchmarks.nc_benchmark(
            *digits, n_experiences=5, task_labels=True, seed=0, class_ids_from_zero_in_each_exp=True
        )
        .train_stream
    )
    assert classes_of(stream[0], None).missing == ()


@pytest.mark.parametrize("world", WORLDS)
def test_the_streams_transform_never_touches_a_memory(made, world):
    dark = Compose([Lambda(torch.zeros_like), Normalize(MEAN, STD)])
    experience = made(world, train=dark, evaluation=dark).train_stream[0]
    images = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    tasks = None if world == "new" else torch.tensor([0, 0, 1, 1, 2])
    memory = as_dataset(images, torch.arange(5), tasks)
    joined = memory.concat(experience.dataset).train()
    assert len(experience.dataset.concat(memory)) == len(joined) == 5 + len(experience.dataset)
    for dataset in (memory, memory.train(), memory.eval(), joined):
        for row in range(5):
            sample = dataset[row]
            assert torch.equal(sample[0], images[row])
            assert list(sample[1:]) == [row] if tasks is None else [row, int(tasks[row])]


@pytest.mark.parametrize("world", WORLDS)
def test_a_memory_and_an_experience_make_one_batch(made, world):
    experience = made(world).train_stream[0].dataset
    memory = as_dataset(torch.zeros(4, 1, 8, 8), torch.arange(4), None if world == "new" else torch.zeros(4).long())
    both = memory.concat(experience)
    batch = next(iter(DataLoader(both, batch_size=len(both), collate_fn=both.collate_fn)))
    assert len(batch) == (2 if world == "new" else 3)
    assert batch[0].shape == (52, 1, 8, 8)
    assert batch[1].tolist() == list(both.targets)
