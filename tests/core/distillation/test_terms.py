"""Objectives beside the matcher, pixels in unit space, a rate that halves, and cautions."""

from __future__ import annotations

import pytest
import torch

from limbeck.config import OptimiserSection
from limbeck.data import load_dataset
from limbeck.distillation.parameters import SyntheticParameters
from limbeck.distillation.plateau import LOOK_EVERY, Plateau
from limbeck.distillation.setup import prepare_labels, set_up
from limbeck.errors import LimbeckWarning, PluginError, UsageError
from limbeck.runs import Listener, run

CALIBRATION = {"matcher": "cross_entropy", "source": "fresh"}


@pytest.fixture
def digits():
    return load_dataset("digits", max_per_class=20)


def gradient(config, data):
    """Image gradient of the first step."""
    parts = set_up(config, data)
    prepare_labels(parts)
    before = parts.generators.state_dict()
    for term in parts.terms:
        parts.generators.load_state_dict(before)
        batches = parts.batches()
        term.accumulate(batches, term.source.state(term.at(0)), term.at(0), parts.parameters.groups)
    return parts.parameters.images.grad.clone()


def test_a_term_adds_its_weighted_gradient(tiny, digits):
    alone = gradient(tiny("dm"), digits)
    once, thrice = (gradient(tiny("dm", terms=[{**CALIBRATION, "weight": w}]), digits) - alone for w in (1.0, 3.0))
    assert once.abs().max() > 0
    torch.testing.assert_close(3 * once, thrice, rtol=1e-4, atol=1e-6 * float(alone.abs().max()))


def test_the_weight_of_a_term_counts_for_what_its_matcher_learns(tiny, digits):
    found = []
    for weight in (1.0, 4.0):
        learned = {"matcher": {"name": "characteristic", "sampling": "learned", "frequencies": 32}, "source": "fresh"}
        parts = set_up(tiny("dm", terms=[{**learned, "weight": weight}]), digits)
        prepare_labels(parts)
        term = parts.terms[1]
        term.accumulate(parts.batches(), term.source.state(term.at(0)), term.at(0), parts.parameters.groups)
        found.append([parts.parameters.images.grad, *(tensor.grad for tensor in term.matcher.adversary().values())])
    assert len(found[0]) > 1
    for one, four in zip(*found, strict=True):
        torch.testing.assert_close(4 * one, four)


def test_a_term_with_an_update_of_its_own_moves_images_after_the_matcher(tiny):
    moved = {}
    for update in ("together", "own"):
        terms = [{**CALIBRATION, "update": update}]
        moved[update] = run(tiny("dm", steps=1, terms=terms, optimiser={"momentum": 0.5})).synthetic.images
    start = run(tiny("dm", steps=1, optimiser={"lr_img": 1e-12})).synthetic.images
    assert not torch.equal(moved["own"], moved["together"])
    assert not torch.equal(moved["own"], start)


@pytest.mark.parametrize("broken", [{"matcher": "cross_entropi"}, {"source": "fresch"}, {"weight": 0.0}])
def test_a_term_that_is_not_understood_is_refused(broken, tiny):
    with pytest.raises(
        UsageError, match=next(iter(broken.values())) if isinstance(*broken.values(), str) else "weight"
    ):
        run(tiny("dm", terms=[{**CALIBRATION, **broken}]))


@pytest.mark.parametrize(
    ("term", "said"),
    [
        ({"wieght": 0.1}, r"'terms\.0\.wieght'\. Did you mean 'weight'\? Known: matcher, source, update, weight\."),
        ({"source": {"name": "inner", "outr": 2}}, r"^in terms\.0: .*outr.* Did you mean 'outer'"),
    ],
)
def test_a_misspelling_in_a_term_is_told_with_its_place(term, said, tiny):
    with pytest.raises(UsageError, match=said):
        run(tiny("dm", terms=[{**CALIBRATION, **term}]))


def test_cross_entropy_is_summed_over_class_means(tiny, digits):
    config = tiny("dm", ipc=2, augmentation=None, matcher="cross_entropy")
    parts = set_up(config, digits)
    prepare_labels(parts)
    term = parts.terms[0]
    state = term.source.state(term.at(0))
    loss = term.accumulate(parts.batches(), state, term.at(0), parts.parameters.groups)
    images = parts.parameters.images.detach().requires_grad_()
    logits = parts.network(state, images, train=False)
    asked = torch.nn.functional.cross_entropy(logits, parts.parameters.labels, reduction="sum") / 2
    torch.testing.assert_close(loss, asked.detach())
    torch.testing.assert_close(parts.parameters.images.grad, torch.autograd.grad(asked, images)[0])


def test_an_objective_that_is_no_number_for_each_image_is_refused(tiny, digits, monkeypatch):
    from limbeck_plugins.matchers.cross_entropy import CrossEntropy

    monkeypatch.setattr(CrossEntropy, "objective", lambda self, images, labels, teacher: images.mean())
    with pytest.raises(PluginError, match=r"shape \[\].*\[10\]"):
        run(tiny("dm", terms=[CALIBRATION]))


def test_unit_space_moves_pixels_and_shows_networks_the_same_images(digits):
    spec = digits.spec
    pixels = torch.rand(4, *spec.shape)
    labels = torch.arange(4)
    section = OptimiserSection.model_validate({"space": "unit", "lr_img": 0.1, "momentum": 0.0, "clamp": True})
    parameters = SyntheticParameters(spec.normalise(pixels), labels, labels, num_groups=4, spec=spec, section=section)
    torch.testing.assert_close(parameters.images.detach(), pixels)
    torch.testing.assert_close(parameters.of_rows(parameters.rows[2]), spec.normalise(pixels[2:3]))

    class Nothing:
        def parameters(self):
            return {}

        adversary = parameters

    parameters.make_optimiser(Nothing(), Nothing(), [Nothing()])
    (parameters.of_rows(parameters.rows[1]) * 3).sum().backward()
    parameters.move()
    std = spec.statistics()[1]
    torch.testing.assert_close(parameters.images.detach()[1:2], (pixels[1:2] - 0.3 / std).clamp(0, 1))
    torch.testing.assert_close(parameters.result, spec.normalise(parameters.images.detach()))


@pytest.mark.parametrize("patience", [1, 7, 12])
def test_plateau_halves_where_torch_does(patience):
    losses = [1.0, 0.9, 0.95, 0.9, 0.9, 0.9, 0.8, *([0.85] * 30), 0.1, *([0.2] * 20)]
    group, weight = {"lr": 0.4}, torch.nn.Parameter(torch.zeros(1))
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        torch.optim.SGD([weight], lr=0.4), factor=0.5, patience=patience
    )
    plateau, seen = Plateau(group, patience, weight), []
    for step, loss in enumerate(losses):
        plateau.observe(torch.tensor(loss), step)
        theirs.step(loss)
        if (step + 1) % LOOK_EVERY == 0:
            seen.append(group["lr"])
            assert group["lr"] == pytest.approx(theirs.get_last_lr()[0])
    assert len(set(seen)) > 1


def test_plateau_continues_with_the_rate_that_was_in_effect():
    group = {"lr": 1.0}
    plateau = Plateau(group, 1, torch.zeros(1))
    for step in range(14):
        plateau.observe(torch.tensor(1.0), step)
    again = {"lr": 1.0}
    Plateau(again, 1, torch.zeros(1)).restore(again, plateau.state)
    assert again["lr"] == group["lr"] < 1


def test_batch_norm_at_one_image_a_class_is_warned_of(tiny):
    config = tiny("dm", network="convnet-d1-w4-bn")
    with pytest.warns(LimbeckWarning, match="one image a class"):
        run(config)
    told = []
    run(config, listener=Listener(warned=told.append))
    run(tiny("dm", network="convnet-d1-w4-bn", ipc=2), listener=Listener(warned=told.append))
    run(tiny("dm"), listener=Listener(warned=told.append))
    assert len(told) == 1
