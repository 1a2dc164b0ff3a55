"""What a memory keeps of labels and pixels, what that takes, and what networks make of it."""

from __future__ import annotations

import pytest
import torch

from limbeck.configure import configure
from limbeck.data import load_dataset
from limbeck.errors import UsageError
from limbeck.synthetic import SyntheticSet
from limbeck_applications.continual.memory.budget import Budget
from limbeck_applications.continual.memory.distiller import Distiller, MemorySpec
from limbeck_applications.continual.memory.labels import check_kept, projector_of
from limbeck_applications.continual.memory.memory import DistilledMemory
from limbeck_applications.continual.memory.piece import Piece
from limbeck_applications.continual.memory.shrink import keep_best, redistil

pytestmark = pytest.mark.usefixtures("one_thread", "no_report")

CLASSES = (7, 3)
LEARNED = {
    "method": "dc",
    "steps": 2,
    "network": "mlp-d1-w64",
    "settings": {"labels": {"name": "learned"}, "optimiser": {"lr_label": 0.5}},
}
EXPERIENCES = ((7, 3), (0, 5, 1), (9, 2), (4,), (8, 6))


@pytest.fixture(scope="module")
def real():
    return load_dataset("digits").train


def distiller(folder=None, **asked):
    asked = {"method": "random", "network": "mlp-d1-w64", **asked}
    return Distiller(MemorySpec.model_validate(asked), folder=folder)


@pytest.fixture(scope="module")
def soft(real):
    """Learned labels of a piece."""
    return distiller(**LEARNED).distil(real, CLASSES, 4, 0)


class Heavy(Distiller):
    """Something travels with the images, as a formation's weights do."""

    weights = 200

    def distil(self, *args, **kwargs):
        piece = super().distil(*args, **kwargs)
        state = {"formations.heavy.weights": torch.zeros(self.weights, dtype=torch.uint8)}
        return Piece(piece.made.with_(component_state=state), piece.classes, piece.experience, piece.seconds)


def filled(memory, real, experiences=EXPERIENCES):
    """Add experiences; yield what the memory holds after each, and what it may."""
    for number, classes in enumerate(experiences):
        memory.add(real, classes)
        seen = sum(len(each) for each in experiences[: number + 1])
        yield memory, memory.budget.allowed(seen)


def test_learned_labels_are_probabilities_of_the_experience(soft, real):
    assert soft.made.label_kind == "probabilities"
    assert soft.made.labels.shape == (8, 2)
    assert not torch.equal(soft.made.labels, soft.made.labels[:1].expand(8, 2))


def test_soft_labels_take_two_bytes_a_class_of_the_experience(soft):
    assert soft.bytes == 8 * (64 + 2 * 2)
    assert keep_best(soft, 3).bytes == 6 * (64 + 2 * 2)
    assert soft.bytes == 8 * distiller(**LEARNED).cost(soft.made.spec, 2)


def test_soft_labels_are_spread_over_the_stream_where_its_classes_are(soft, real):
    images, labels = soft.formed(real.spec)
    assert (images.shape, labels.shape) == ((8, 1, 8, 8), (8, 10))
    assert torch.equal(labels[:, list(CLASSES)], soft.made.labels)
    assert labels[:, [c for c in range(10) if c not in CLASSES]].count_nonzero() == 0
    assert labels.argmax(1).tolist() == [CLASSES[place] for place in soft.made.group.tolist()]


def test_labels_follow_their_images(soft, real):
    smaller = keep_best(soft, 2)
    rows = [0, 1, 4, 5]
    assert torch.equal(smaller.made.labels, soft.made.labels[rows])
    assert torch.equal(smaller.formed(real.spec)[1], soft.formed(real.spec)[1][rows])


def test_logits_become_probabilities_of_the_experience_alone(soft, real):
    logits = torch.tensor([[0.0, 2.0], [3.0, -1.0]]).repeat(4, 1)
    made = soft.made.with_(labels=logits, label_kind="logits")
    labels = Piece(made, CLASSES).labels(10)
    assert torch.allclose(labels[:, list(CLASSES)], logits.softmax(1))
    assert torch.allclose(labels.sum(1), torch.ones(8))


def test_distilled_again_labels_are_learned_anew(soft, real):
    again = redistil(soft, 2, distiller(**LEARNED), 3)
    assert (again.counts, again.made.label_kind) == ([2, 2], "probabilities")
    assert again.formed(real.spec)[1].argmax(1).tolist() == [7, 7, 3, 3]


def test_classes_and_probabilities_together_become_probabilities(soft, real):
    memory = DistilledMemory(distiller(ipc=2), Budget.of_images(20, real.spec, 10), 0)
    memory.add(real, (0, 1))
    memory.pieces = (*memory.pieces, soft)
    kept = memory.kept(real.spec)
    assert kept.labels.shape == (12, 10)
    assert torch.equal(kept.labels[:4], torch.eye(10)[[0, 0, 1, 1]])
    assert kept.labels.argmax(1).tolist() == [0, 0, 1, 1, *soft.formed(real.spec)[1].argmax(1).tolist()]
    assert (kept.stored, kept.bytes) == (12, 4 * 65 + 8 * 68)


def test_soft_piece_is_read_back_to_the_bit(real, tmp_path):
    first = distiller(tmp_path, **LEARNED).distil(real, CLASSES, 3, 0)
    second = distiller(tmp_path, **LEARNED).distil(real, CLASSES, 3, 0)
    assert first.name == second.name
    assert (second.classes, second.seconds, second.bytes) == (CLASSES, first.seconds, first.bytes)
    for one, other in zip(first.formed(real.spec), second.formed(real.spec), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(SyntheticSet.load(tmp_path / first.name).labels, first.made.labels)


@pytest.mark.parametrize(("storage", "image"), [("uint8", 65), ("float16", 129), ("float32", 257)])
def test_storage_decides_how_many_images_there_are(real, storage, image):
    memory = DistilledMemory(distiller(storage=storage), Budget.of_images(8, real.spec, 10), 0)
    piece = memory.add(real, CLASSES)
    assert piece.counts == [8 * 65 // image] * 2
    assert memory.bytes == len(piece.made) * image <= 2 * 8 * 65


@pytest.mark.parametrize(("storage", "levels"), [("uint8", 256), ("float16", 2**16)])
def test_networks_see_what_storage_left(real, storage, levels):
    memory = DistilledMemory(distiller(storage=storage, method="dm", steps=2), Budget.of_images(8, real.spec, 10), 0)
    memory.add(real, CLASSES)
    stored = memory.pieces[0].made.stored_images()
    seen = real.normalise(stored) if storage == "uint8" else stored.float()
    assert torch.allclose(memory.kept(real.spec).images, seen)
    assert len(stored.unique()) <= levels


@pytest.mark.parametrize("storage", ["uint8", "float32"])
@pytest.mark.parametrize("grows", [True, False])
def test_never_more_than_the_budget_and_no_class_lost(real, storage, grows):
    memory = DistilledMemory(distiller(storage=storage), Budget.of_images(9, real.spec, 10, grows), 0)
    for held, allowed in filled(memory, real):
        kept = held.kept(real.spec)
        assert held.bytes == kept.bytes <= allowed
        assert set(kept.labels.tolist()) == {c for piece in held.pieces for c in piece.classes}
    assert set(kept.labels.tolist()) == set(range(10))


def test_a_memory_of_fixed_size_is_full_from_the_start_and_gives_images_up_from_the_end(real):
    memory = DistilledMemory(distiller(method="dm", steps=1), Budget.of_images(6, real.spec, 10, grows=False), 0)
    before = []
    for held, _ in filled(memory, real):
        seen = sum(len(piece.classes) for piece in held.pieces)
        assert {count for piece in held.pieces for count in piece.counts} == {60 // seen}
        for old, new in zip(before, held.pieces, strict=False):
            for place in range(len(old.classes)):
                ours, theirs = (p.made.images[p.made.group == place] for p in (new, old))
                assert torch.equal(ours, theirs[: len(ours)])
        before = held.pieces


def test_no_more_images_than_there_are_real_ones(real):
    """A memory of fixed size has more room at first than a small data set fills."""
    few = real.subset(torch.cat([real.members(c)[:7] for c in range(10)]))
    for method, most in (("random", 7), ("idc", 1)):
        asked = distiller(method=method, network="convnet-d2-w8-in", steps=1)
        memory = DistilledMemory(asked, Budget.of_images(9, real.spec, 10, grows=False), 0)
        assert memory.add(few, CLASSES).counts == [most, most]


def test_only_distilling_again_takes_time(real):
    budget = Budget.of_images(4, real.spec, 10, grows=False)
    spent = {}
    for shrink in ("importance", "redistil"):
        memory = DistilledMemory(distiller(method="dm", steps=1, shrink=shrink), budget, 0)
        made = memory.add(real, (7, 3))
        assert memory.distilling == made.seconds
        made = memory.add(real, (0, 5))
        spent[shrink] = (memory.distilling, made.seconds, memory.pieces[0])
    distilling, new, _ = spent["importance"]
    assert distilling == new
    distilling, new, again = spent["redistil"]
    assert distilling == new + again.seconds > new
    assert "again" in again.made.provenance["shrunk"][0]
    assert "most important" in spent["importance"][2].made.provenance["shrunk"][0]


def test_fixed_size_with_soft_labels_keeps_to_its_budget(real):
    memory = DistilledMemory(distiller(**LEARNED), Budget.of_images(3, real.spec, 10, grows=False), 0)
    for held, allowed in filled(memory, real, EXPERIENCES[:3]):
        assert held.bytes <= allowed == 3 * 65 * 10
        assert held.kept(real.spec).labels.shape == (held.images, 10)


@pytest.mark.parametrize("grows", [True, False])
def test_what_travels_with_images_is_paid_for_in_images(real, grows):
    spec = MemorySpec.model_validate({"method": "random"})
    memory = DistilledMemory(Heavy(spec), Budget.of_images(9, real.spec, 10, grows), 0)
    for held, allowed in filled(memory, real):
        assert held.bytes <= allowed
    assert min(count for piece in memory.pieces for count in piece.counts) == (9 * 65 - 200) // 65


def test_what_travels_may_not_be_more_than_the_budget(real):
    big = Heavy(MemorySpec.model_validate({"method": "random"}))
    big.weights = 2000
    memory = DistilledMemory(big, Budget.of_images(9, real.spec, 10), 0)
    with pytest.raises(UsageError, match=r"2\.0 KiB that travel with them") as raised:
        memory.add(real, CLASSES)
    assert "\n" not in str(raised.value)
    assert memory.pieces == ()


@pytest.mark.parametrize("name", ["teacher", "stored"])
def test_labels_that_need_more_than_the_images_are_refused_before_a_run(real, name):
    asked = distiller(method="dm", steps=1, settings={"labels": {"name": name}})
    with pytest.raises(UsageError, match=rf"labels '{name}'.*labels\.name=learned"):
        asked.distil(real, CLASSES, 1, 0)
    with pytest.raises(UsageError, match=rf"labels '{name}'"):
        asked.cost(real.spec, 2)


def test_labels_that_turn_out_to_need_more_are_refused(soft):
    state = {"label_projectors.own.table": torch.zeros(3), "formations.own.weights": torch.zeros(3)}
    with pytest.raises(UsageError, match="labels 'own'"):
        check_kept(soft.made.with_(component_state=state))
    state.pop("label_projectors.own.table")
    assert check_kept(soft.made.with_(component_state=state)).component_state.keys() == state.keys()


def test_labels_that_a_memory_can_keep():
    for name, learns in (("hard", False), ("learned", True)):
        config = configure("dm", None, "small", {"labels": {"name": name}})
        assert projector_of(config).learns() is learns
