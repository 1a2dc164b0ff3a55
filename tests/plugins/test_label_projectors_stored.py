"""Labels that are kept with their views: what is replayed, what it costs, and where it is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import limbeck
from limbeck.configure import configure
from limbeck.distillation.setup import label_context
from limbeck.errors import UsageError
from limbeck.evaluation import Recipe, evaluate_set, evaluate_with_baselines
from limbeck.evaluation.baselines import obstacle
from limbeck.plugins import registry
from limbeck.runs import run
from limbeck.synthetic import LabelProjector, ProjectorContext, SyntheticSet
from limbeck.testing.cases import CLASSES, SPEC, normal, tiny_data, tiny_network
from limbeck.training import Epochs, TrainData, fit

COUNT, PASSES = 6, 3
HARD = torch.tensor([0, 0, 1, 1, 2, 2])


pytestmark = pytest.mark.usefixtures("one_thread", "no_report")


def augmentation(name="dsa", **options):
    return registry().create("augmentations", {"name": name, **options}).for_data(SPEC)


def each_its_own():
    """An augmentation whose rows always have operations of their own."""
    made = augmentation()
    draw = made.draw
    made.draw = lambda rows, generator, one_op=False: draw(rows, generator)
    return made


AUGMENTATIONS = {
    "one operation a pass": augmentation,
    "crops": lambda: augmentation("resized_crop"),
    "an operation a row": each_its_own,
}


def images():
    return normal(COUNT, *SPEC.shape, dtype=torch.float32)


def context(**changes):
    given = ProjectorContext(
        real=tiny_data(),
        spec=SPEC,
        network=lambda name: tiny_network(),
        seed=5,
        device=torch.device("cpu"),
        labels=HARD,
        augmentation=augmentation(),
        images=images(),
        stored=torch.arange(COUNT),
    )
    return replace(given, **changes)


def make(name="stored", **options):
    return registry().create("label_projectors", {"name": name, "epochs": 2, **options})


def kept(passes=PASSES, temperature=1.0, **changes):
    projector, given = make(passes=passes, temperature=temperature), context(**changes)
    projector.prepare(given)
    projector.finish(given)
    return projector


def loaded(state, temperature=1.0, **changes):
    projector = make(passes=PASSES, temperature=temperature)
    projector.load_state_dict(state)
    projector.prepare(context(**{"real": None, **changes}))
    return projector


def draw_numbers():
    return torch.Generator().manual_seed(0)


class Seen(LabelProjector):
    """Remembers the images it was asked about, and passes every question on."""

    def __init__(self, plans, labels):
        super().__init__()
        self.plans, self.answers, self.batches = plans, labels, []

    @property
    def by_training_image(self):
        return self.plans.by_training_image

    def plan(self, index, epoch, generator):
        return self.plans.plan(index, epoch, generator)

    def labels(self, images, index, epoch, draw):
        self.batches.append(images)
        return self.answers.labels(images, index, epoch, draw)


def trained(labels, aug, epochs=2 * PASSES):
    data = TrainData(images(), HARD)
    result = fit(
        tiny_network(),
        start=[3],
        data=data,
        labels=labels,
        loss="soft_ce",
        lr=0.1,
        budget=Epochs(epochs),
        batch_size=4,
        augmentation=aug,
    )
    return torch.cat([value.flatten() for value in result.states[0].values()])


@pytest.mark.parametrize("case", AUGMENTATIONS)
def test_training_on_them_is_training_under_the_teacher_that_sees_the_same_views(case):
    aug = AUGMENTATIONS[case]()
    stored, teacher = kept(augmentation=aug), make("teacher")
    teacher.prepare(context())
    replayed, online = Seen(stored, stored), Seen(stored, teacher)
    ours, theirs = trained(replayed, aug), trained(online, aug)
    assert len(replayed.batches) == 2 * 2 * PASSES
    assert all(torch.equal(one, other) for one, other in zip(replayed.batches, online.batches, strict=True))
    off, other_views = (ours - theirs).norm(), (trained(teacher, aug) - theirs).norm()
    assert off < 1e-4 * theirs.norm()
    assert other_views > 20 * off


def test_a_label_is_the_teachers_to_half_precision_at_any_temperature():
    teacher = make("teacher", temperature=4.0)
    teacher.prepare(context())
    aug, index = augmentation(), torch.tensor([4, 1, 1, 0])
    sharp, soft = kept(), kept(temperature=4.0)
    for epoch in range(PASSES):
        draw = sharp.plan(index, epoch, draw_numbers())
        views = aug.apply(images()[index], draw)
        labels = soft.labels(views, index, epoch, draw)
        torch.testing.assert_close(labels, teacher.labels(views, index, epoch, draw), rtol=2e-3, atol=1e-6)
        torch.testing.assert_close(labels.sum(1), torch.ones(4))
        own = sharp.labels(views, index, epoch, draw)
        torch.testing.assert_close(labels, (own.log() / 4).softmax(1), rtol=1e-4, atol=1e-6)


def test_passes_have_views_of_their_own_and_begin_again_after_the_last():
    projector, index = kept(), torch.arange(COUNT)
    draws = [projector.plan(index, epoch, draw_numbers()).u for epoch in range(2 * PASSES)]
    labels = [projector.labels(images(), index, epoch, None) for epoch in range(2 * PASSES)]
    for epoch in range(PASSES):
        assert torch.equal(draws[epoch], draws[epoch + PASSES])
        assert torch.equal(labels[epoch], labels[epoch + PASSES])
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(labels[0], labels[1])
    assert draws[0].dtype == torch.float32


def test_an_operation_is_one_for_a_pass_and_differs_between_passes():
    projector = kept(passes=12)
    ops = [projector.plan(torch.arange(COUNT), epoch, draw_numbers()).op for epoch in range(12)]
    assert all(len(op) == COUNT and len(op.unique()) == 1 for op in ops)
    assert len({int(op[0]) for op in ops}) > 1
    rows = kept(passes=1, augmentation=each_its_own())
    assert len(rows.plan(torch.arange(COUNT), 0, draw_numbers()).op.unique()) > 1


def test_the_plan_leaves_the_generator_alone():
    generator = draw_numbers()
    kept().plan(torch.arange(COUNT), 0, generator)
    assert torch.equal(generator.get_state(), draw_numbers().get_state())


def test_without_augmentation_every_image_has_one_label():
    projector, teacher = kept(augmentation=None), make("teacher")
    teacher.prepare(context())
    index = torch.tensor([5, 2])
    assert projector.plan(index, 7, draw_numbers()) is None
    expected = teacher.labels(images()[index], index, 7, None)
    torch.testing.assert_close(projector.labels(images()[index], index, 7, None), expected, rtol=2e-3, atol=1e-6)
    assert projector.state_dict().keys() == {"logits"}
    assert projector.bytes() == COUNT * CLASSES * 2


def test_bytes_are_a_draw_and_a_row_of_halves_for_each_view_and_the_name_of_the_augmentation():
    projector = kept()
    text = '{"name": "dsa"}'
    assert projector.bytes() == PASSES * COUNT * (2 * CLASSES + 4 * 11 + 1) + len(text)
    state = projector.state_dict()
    assert (state["logits"].dtype, state["u"].dtype, state["op"].dtype) == (torch.float16, torch.float32, torch.uint8)
    assert bytes(state["augmentation"].tolist()).decode() == text


@pytest.mark.parametrize("case", AUGMENTATIONS)
def test_what_was_loaded_replays_bit_for_bit(case):
    aug = AUGMENTATIONS[case]()
    first = kept(augmentation=aug)
    second = loaded(first.state_dict(), augmentation=aug)
    late = kept(augmentation=aug, seed=9)
    late.load_state_dict(first.state_dict())
    expected = trained(first, aug)
    assert torch.equal(trained(second, aug), expected)
    assert torch.equal(trained(late, aug), expected)
    assert not torch.equal(trained(kept(augmentation=aug, seed=9), aug), expected)


def test_before_the_images_are_final_labels_are_those_of_the_set():
    projector = make()
    projector.prepare(context(real=None, images=None, stored=None))
    index = torch.tensor([5, 0])
    assert projector.labels(images()[index], index, 0, None).tolist() == [2, 0]
    assert (projector.by_training_image, projector.bytes(), projector.state_dict()) == (False, 0, {})
    assert projector.plan(index, 0, draw_numbers()) is None
    assert kept().by_training_image


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": images()[:4]}, "kept for 6 images and 3 classes, but students train on 4 images"),
        ({"spec": replace(SPEC, num_classes=4, class_names=tuple("abcd"))}, "with a head of 4 classes"),
        ({"augmentation": None}, 'views of augmentation {"name": "dsa"}, but students would train with none'),
        ({"augmentation": augmentation(strategy="flip")}, 'train with {"name": "dsa", "strategy": "flip"}'),
    ],
    ids=["images", "classes", "no augmentation", "another augmentation"],
)
def test_what_was_kept_for_something_else_is_refused_in_a_line(changes, reason):
    with pytest.raises(UsageError) as error:
        loaded(kept().state_dict(), **changes)
    assert reason in str(error.value)
    assert "labels=teacher" in str(error.value)
    assert "\n" not in str(error.value)


def test_without_real_images_there_is_no_teacher():
    with pytest.raises(UsageError, match=r"label projector 'stored' needs the real training set.*--data"):
        kept(real=None)


def digits():
    return limbeck.load_dataset("digits", max_per_class=20)


SETTINGS = {
    "network": "convnet-d1-w4-in",
    "labels": {"name": "stored", "passes": 3, "epochs": 1},
    "data": {"name": "digits", "max_per_class": 20, "batch_real": 4},
    "augmentation": "dsa",
    "evaluation": {"networks": 1, "baselines": ["random"], "protocol": {"name": "dc", "epochs": 4}},
    "execution": {"device": "cpu"},
}


def made(folder, method="dm", **settings):
    budget = {} if method == "random" else {"budget": {"iterations": None, "steps": 2}}
    return run(configure(method, None, "small", {**SETTINGS, **budget, **settings}), folder=folder)


@pytest.mark.parametrize("storage", ["float32", "uint8"])
def test_a_run_keeps_them_and_its_folder_is_measured_again_to_the_same_figures(storage, tmp_path):
    finished = made(tmp_path, storage=storage)
    stored = SyntheticSet.load(tmp_path)
    state = {name.rpartition(".")[2]: tensor for name, tensor in stored.component_state.items()}
    assert state["logits"].shape == (3, 10, 10)
    assert all(
        torch.equal(stored.component_state[key], value) for key, value in finished.synthetic.component_state.items()
    )
    text = len('{"flip": "off", "name": "dsa"}')
    extra = 3 * 10 * (2 * 10 + 4 * 11 + 1) + text
    assert finished.rows[0].bytes == stored.bytes == 10 * (64 * (1 if storage == "uint8" else 4) + 1) + extra
    assert {row.label: row.labels for row in finished.rows} == {"synthetic": "stored", "random": "hard"}
    again = evaluate_set(stored, digits(), Recipe.from_dict(stored.recipe), networks=1)
    assert again.accuracies == finished.rows[0].accuracies


def test_the_teacher_judged_the_images_as_they_are_stored(tmp_path):
    noise = {"storage": "uint8", "init": {"from": "noise"}}
    stored = made(tmp_path, **noise).synthetic
    teacher = registry().create("label_projectors", {"name": "teacher", "epochs": 1})
    recipe = Recipe.from_dict(stored.recipe)
    config = configure("dm", None, "small", {**SETTINGS, **noise})
    teacher.prepare(label_context(config, digits(), stored.labels, "hard"))
    views = registry().create("augmentations", recipe.augmentation).for_data(stored.spec)
    kept = registry().create("label_projectors", {"name": "stored", "passes": 3, "epochs": 1})
    kept.load_state_dict({name.rpartition(".")[2]: tensor for name, tensor in stored.component_state.items()})
    kept.prepare(
        context(real=None, spec=stored.spec, labels=stored.labels, images=stored.normalised(), augmentation=views)
    )
    index = torch.arange(10)
    draw = kept.plan(index, 1, draw_numbers())
    seen = views.apply(stored.normalised(), draw)
    torch.testing.assert_close(
        kept.labels(seen, index, 1, draw), teacher.labels(seen, index, 1, draw), rtol=4e-3, atol=1e-5
    )


def test_images_formed_from_one_stored_image_have_labels_of_their_own(tmp_path):
    finished = made(tmp_path, formation={"name": "tiles", "factor": 2}, method="random")
    stored = finished.synthetic
    logits = stored.component_state["label_projectors.stored.logits"]
    assert logits.shape == (3, 40, 10)
    assert not torch.equal(logits[:, 0], logits[:, 1])
    asked = []
    projector_of = registry().load("label_projectors", "stored")[0]
    original = projector_of.labels

    def labels(self, images, index, epoch, draw):
        asked.append(index)
        return original(self, images, index, epoch, draw)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projector_of, "labels", labels)
        row = evaluate_set(stored, digits(), Recipe.from_dict(stored.recipe), networks=1)
    assert row.accuracies == finished.rows[0].accuracies
    assert sorted(torch.cat(asked[:1]).tolist()) == list(range(40))


def test_rows_beside_the_set_take_nothing_from_its_views(tmp_path):
    stored = made(tmp_path, method="random").synthetic
    recipe = Recipe.from_dict(stored.recipe)
    assert "augmented views" in obstacle("synthetic_plain", "hard", recipe)
    for label in ("random_soft", "random_plain"):
        assert "random ones the like" in obstacle(label, "hard", recipe)
    rows = evaluate_with_baselines(stored, digits(), recipe, baselines=("synthetic_hard",), networks=1)
    plain = stored.with_(component_state={})
    alone = evaluate_set(plain, digits(), recipe.for_classes(), networks=1, label="synthetic_hard")
    assert rows[1].accuracies == alone.accuracies
    assert rows[1].bytes == alone.bytes == plain.bytes


def test_a_set_without_them_is_labelled_for_its_evaluation(tmp_path):
    plain = made(tmp_path, method="random", labels="hard", evaluation={"networks": 0}).synthetic
    recipe = Recipe.from_dict(plain.recipe).with_(epochs=2, labels=SETTINGS["labels"], augmentation=None)
    row = evaluate_set(plain, digits(), recipe, networks=1)
    assert row.bytes == plain.bytes + 10 * 10 * 2


def test_imitation_takes_its_temperature_on_both_sides(tmp_path):
    stored = Recipe.from_dict(made(tmp_path, method="random", evaluation={"networks": 0}).synthetic.recipe)
    for asked, expected in (({}, 20.0), ({"temperature": 3.0}, 3.0)):
        recipe = registry().create("protocols", {"name": "soft-kd", **asked}).recipe(stored.network, stored)
        assert (recipe.temperature, recipe.labels["temperature"], recipe.labels["passes"]) == (expected, expected, 3)


def test_views_made_of_several_images_are_refused_before_data_are_read(monkeypatch, tmp_path):
    monkeypatch.setattr("limbeck.runs.load_dataset", lambda *a, **k: pytest.fail("data were read"))
    protocol = {"name": "dc", "epochs": 1, "augmentation": {"name": "cutmix"}}
    with pytest.raises(UsageError, match=r"'stored' belong to views of single images.*'cutmix'.*labels=teacher"):
        made(tmp_path, evaluation={"networks": 1, "protocol": protocol})
    with pytest.raises(UsageError, match="'stored' belong to views of single images"):
        kept(augmentation=augmentation("cutmix"))


def test_more_passes_than_memory_holds_are_refused_before_the_teacher_is_trained():
    with pytest.raises(UsageError, match=r"labels\.passes=1000000000000 over 6 images .* free\. Type fewer"):
        make(passes=10**12).prepare(context())
