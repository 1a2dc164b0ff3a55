import pytest
import torch
from torchvision.transforms import Compose, Lambda, Normalize

from limbeck import SyntheticSet, distill
from limbeck.data import load_dataset
from limbeck.errors import LimbeckWarning, UnknownNameError, UsageError
from limbeck.testing.randomness import moved_generators, require_same_twice
from limbeck_applications.continual import DistilledBuffer
from limbeck_applications.continual.bridge.datasets import arrived
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.memory.distiller import Distiller, MemorySpec

pytestmark = pytest.mark.usefixtures("one_thread")
WORLDS = ["new", "task_aware"]
KINDS = {"random": {}, "dm": {"steps": 2}}


def filled(stream, *arguments, **options):
    """A buffer after the experiences of a stream, and its images a class after each."""
    memory = DistilledBuffer(*arguments, **options)
    counts = []
    for experience in stream:
        memory.post_adapt(None, experience)
        counts.append([count for piece in memory.memory.pieces for count in piece.counts])
    return memory, counts


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("method", KINDS)
def test_replay_in_a_plain_script(made, naive, metrics, world, method):
    memory = DistilledBuffer(30, method, **KINDS[method])
    replay = avalanche().training.plugins.ReplayPlugin(mem_size=memory.max_size, storage_policy=memory)
    strategy, stream = naive(replay, evaluator=metrics), made(world)
    for position, experience in enumerate(stream.train_stream):
        strategy.train(experience)
        found = strategy.eval(stream.test_stream[: position + 1])
    assert any(name.startswith("StreamForgetting") for name in found)
    assert len(memory.buffer) == memory.memory.images == 30
    assert sorted(set(memory.buffer.targets)) == list(range(10))
    assert len(memory.buffer[0]) == (2 if world == "new" else 3)


def test_a_fixed_memory_is_shared_by_the_classes_seen(made):
    _, counts = filled(made("new").train_stream, 40, "random")
    assert counts == [[10] * 4, [5] * 7, [4] * 10]


def test_a_growing_memory_keeps_what_it_has(made):
    memory, counts = filled(made("new").train_stream, 40, "random", grows=True)
    assert counts == [[4] * 4, [4] * 7, [4] * 10]
    first, _ = filled(made("new").train_stream[:1], 40, "random", grows=True)
    assert torch.equal(memory.keeper.kept().images[:16], first.keeper.kept().images)


@pytest.mark.parametrize(("storage", "size"), [("uint8", 65), ("float16", 129), ("float32", 257)])
def test_bytes_are_counted_as_stored(made, storage, size):
    _, counts = filled(made("new").train_stream, max_bytes=10 * 260, method="random", storage=storage)
    shares = [min(260 * 10 // seen // size, 12) for seen in (4, 7, 10)]
    assert counts == [[shares[0]] * 4, [shares[1]] * 7, [shares[2]] * 10]


def test_both_limits_hold_at_once(made):
    memory, counts = filled(made("new").train_stream, 50, "random", max_bytes=65 * 30)
    assert counts[-1] == [3] * 10
    assert memory.max_size == 50
    assert memory.memory.bytes == 65 * 30
    memory, counts = filled(made("new").train_stream, 20, "random", max_bytes=65 * 30)
    assert counts[-1] == [2] * 10


@pytest.mark.parametrize("shrink", ["importance", "redistil"])
def test_resizing_makes_old_pieces_smaller(made, shrink):
    memory, _ = filled(made("new").train_stream, 40, "dm", steps=1, shrink=shrink)
    before = memory.keeper.kept().images
    memory.resize(None, 20)
    assert memory.max_size == len(memory.buffer) == memory.memory.images == 20
    after = memory.keeper.kept().images
    kept = sum(any(torch.equal(image, old) for old in before) for image in after)
    assert kept == 20 if shrink == "importance" else kept < 20
    with pytest.raises(UsageError, match="5 images cannot hold one of each of 10 classes: give it 10"):
        memory.resize(None, 5)


def test_resizing_an_empty_memory_changes_its_limit_alone(made):
    memory = DistilledBuffer(40, "random")
    memory.resize(None, 20)
    memory.post_adapt(None, made("new").train_stream[0])
    assert (memory.max_size, len(memory.buffer)) == (20, 20)


def test_the_streams_training_transform_leaves_no_trace(made):
    dark = Compose([Lambda(torch.zeros_like), Normalize((0.25,), (0.5,))])
    images = [
        filled(made(world, train=train).train_stream, 20, "random")[0].keeper.kept().images
        for world in WORLDS
        for train in (None, dark)
    ]
    assert all(torch.equal(images[0], other) for other in images[1:])


def test_the_same_seed_gives_the_same_memory_and_moves_no_global_generator(made):
    stream = made("task_aware").train_stream

    def images(seed):
        return filled(stream[:1], 20, "dm", steps=2, seed=seed)[0].keeper.kept().images

    with moved_generators() as moved:
        require_same_twice(lambda: images(1))
    assert moved == []
    assert not torch.equal(images(1), images(2))


def test_task_labels_are_those_of_each_experience(made):
    memory, _ = filled(made("task_aware", task_labels=True).train_stream, 20, "random")
    assert [memory.buffer[row][2] for row in range(20)] == [0] * 8 + [1] * 6 + [2] * 6
    assert sorted(memory.buffer.task_set) == [0, 1, 2]
    assert len(memory.buffer.concat(made("task_aware").train_stream[0].dataset)) == 20 + 48


def test_a_stream_of_another_world_is_refused(made):
    memory, _ = filled(made("new").train_stream[:1], 20, "random")
    with pytest.raises(UsageError, match="have 3 values here, but 2 before"):
        memory.post_adapt(None, made("task_aware").train_stream[1])


def test_a_dropped_class_is_warned_of_and_with_the_number_refused(made):
    stream = made("new", num_experiences=3).train_stream
    with pytest.warns(LimbeckWarning, match="class 9 is in none of the stream's 3 experiences"):
        filled(stream[:1], 20, "random")
    with pytest.raises(UsageError, match="class 9 is in none"):
        filled(stream[:1], 20, "random", num_classes=10)


def test_another_normalisation_in_a_later_experience_is_refused(made):
    memory, _ = filled(made("new").train_stream[:1], 20, "random")
    other = made("new", evaluation=Normalize((0.5,), (0.25,))).train_stream[1]
    with pytest.raises(UsageError, match="another shape or normalisation"):
        memory.post_adapt(None, other)


def test_limits_too_small_are_refused_at_the_first_experience(made):
    stream = made("new").train_stream
    with pytest.raises(UsageError, match="9 images cannot hold one of each of 10 classes: give it 10 or more"):
        filled(stream, 9, "random")
    with pytest.raises(UsageError, match=r"649 bytes.*65 bytes of each of 10 classes: give max_bytes=650"):
        filled(stream, max_bytes=649, method="random")
    assert filled(stream, max_bytes=650, method="random")[1][-1] == [1] * 10


def test_bad_keywords_are_refused_before_anything_is_learned():
    with pytest.raises(UsageError, match=r"DistilledBuffer\(200\) for images"):
        DistilledBuffer()
    with pytest.raises(UnknownNameError, match="Did you mean 'seconds'"):
        DistilledBuffer(20, second=1)
    with pytest.raises(UnknownNameError, match="Did you mean 'dm'"):
        DistilledBuffer(20, "dmm")
    with pytest.raises(UsageError, match="storage"):
        DistilledBuffer(20, storage="int4")
    with pytest.raises(UsageError, match="mean and std belong together"):
        DistilledBuffer(20, std=(1.0,))


def test_sections_of_a_run_reach_the_method():
    memory = DistilledBuffer(20, optimiser={"lr_img": 0.5}, settings={"budget": {"iterations": 3}})
    assert memory.keeper.keeping.settings == {"optimiser": {"lr_img": 0.5}, "budget": {"iterations": 3}}
    with pytest.raises(UsageError, match=r"unknown option 'optimiser.lr_imgs'. Did you mean 'lr_img'"):
        DistilledBuffer(20, optimiser={"lr_imgs": 0.5})


def test_an_online_stream_is_distilled_where_its_experiences_end(made):
    split = avalanche().benchmarks.split_online_stream
    stream = made("new").train_stream
    online = split(stream, experience_size=20, access_task_boundaries=True)
    sizes = []
    memory = DistilledBuffer(20, "random")
    for part in online:
        memory.post_adapt(None, part)
        sizes.append(len(memory.buffer))
    whole, _ = filled(stream, 20, "random")
    assert sizes == [0, 0, 20, 20, 14, 14, 20]
    assert torch.equal(memory.keeper.kept().images, whole.keeper.kept().images)
    blind = split(stream, experience_size=20, access_task_boundaries=False)
    with pytest.raises(UsageError, match="access_task_boundaries=True"):
        filled(blind, 20, "random")


SOFT = {"method": "dsa", "steps": 1, "labels": {"name": "learned"}, "data": {"batch_real": 4}}


def test_soft_labels_become_classes_with_one_warning(made):
    stream = made("new").train_stream
    memory = DistilledBuffer(20, **SOFT)
    with pytest.warns(LimbeckWarning, match="the most probable one is taken") as heard:
        for experience in stream:
            memory.post_adapt(None, experience)
    assert len(heard) == 1
    kept = memory.keeper.kept()
    assert kept.labels.shape == (20, 10)
    assert list(memory.buffer.targets) == kept.labels.argmax(1).tolist()


@pytest.fixture(scope="module")
def digits_set():
    """A set of all digits, as ``limbeck distill`` makes it."""
    return distill(load_dataset("digits"), method="dm", ipc=3, profile="small", budget={"steps": 1})


def like(made_set, made, **changes):
    """A stream that sees images as a set does."""
    spec = made_set.spec
    seen = Normalize(changes.get("mean", spec.mean), changes.get("std", spec.std))
    return made(changes.get("world", "new"), train=seen, evaluation=seen).train_stream


def test_a_set_made_before_is_cut_into_experiences(made, digits_set, tmp_path):
    folder = digits_set.save(tmp_path / "set")
    for given in (digits_set, folder):
        memory, counts = filled(like(digits_set, made), 25, sets=[given])
        assert counts == [[3] * 4, [3] * 7, [2] * 10]
        for row in range(20):
            image, label = memory.buffer[row]
            own = SyntheticSet.load(folder).normalised()[digits_set.labels == label]
            assert any(torch.allclose(image, each, atol=1e-6) for each in own)


def test_a_set_of_nearly_the_same_statistics_is_seen_as_the_stream_is(made, digits_set):
    stream = like(digits_set, made, mean=(digits_set.spec.mean[0] + 5e-4,))
    memory, _ = filled(stream, 100, sets=[digits_set])
    spec, order = memory.keeper.spec, digits_set.labels.argsort(stable=True)
    unit = digits_set.with_(images=digits_set.images[order], labels=digits_set.labels[order]).normalised()
    pixels = spec.denormalise(memory.keeper.kept().images)
    assert torch.allclose(pixels, digits_set.spec.denormalise(unit), atol=1e-5)


def test_sets_that_do_not_fit_are_refused_in_one_line(made, digits_set):
    with pytest.raises(
        UsageError, match=r"made with mean \(0.3052\) and std \(0.376\), but the stream's.*mean \(0.25\)"
    ):
        filled(made("new").train_stream, 20, sets=[digits_set])
    wide = digits_set.with_(
        images=digits_set.images.repeat(1, 1, 2, 2),
        spec=type(digits_set.spec)(**{**vars(digits_set.spec), "shape": (1, 16, 16)}),
    )
    with pytest.raises(UsageError, match="images are 1x16x16, but the stream's are 1x8x8"):
        filled(like(digits_set, made), 20, sets=[wide])
    few = distill(load_dataset("digits", classes=[0, 1]), method="random", ipc=1)
    with pytest.raises(UsageError, match="has 2 classes, but the stream has 10"):
        filled(like(few, made), 20, sets=[few])


def test_a_piece_of_a_study_says_which_classes_it_holds(made, digits_set, tmp_path):
    stream = like(digits_set, made)
    distiller = Distiller(MemorySpec(method="random"), folder=tmp_path)
    memory, folders = DistilledBuffer(20, "random"), []
    for experience in stream:
        memory.post_adapt(None, experience)
        brought = arrived(experience, 10, None, None, torch.device("cpu"))
        folders.append(tmp_path / distiller.distil(brought.real, brought.classes, 2, 0).name)
    again, counts = filled(stream, 20, sets=folders[::-1])
    assert counts[-1] == [2] * 10
    assert again.memory.pieces[0].classes == (0, 1, 2, 3)
    with pytest.raises(UsageError, match=r"classes 0, 1, 2, 3 of this experience; they have 4, 5, 6, 7, 8, 9"):
        filled(stream, 20, sets=folders[1:])


def test_a_set_with_soft_labels_is_not_cut(made, digits_set):
    soft = digits_set.with_(labels=torch.eye(10)[digits_set.labels], label_kind="probabilities")
    with pytest.raises(UsageError, match="soft labels over 10 classes cannot be cut into experiences"):
        filled(like(digits_set, made), 100, sets=[soft])


def test_a_buffer_among_the_plugins_says_where_it_belongs(made, naive):
    strategy = naive(DistilledBuffer(20, "random"))
    with pytest.raises(UsageError, match=r"ReplayPlugin\(memory.max_size, storage_policy=memory\)"):
        strategy.train(made("new").train_stream[0])


def test_a_piece_is_shown_in_a_line(made):
    memory, _ = filled(made("new").train_stream[:1], 20, "random")
    (piece,) = memory.memory.pieces
    assert repr(piece) == f"Piece(classes={piece.classes}, images={len(piece.made)}, bytes={piece.bytes})"
