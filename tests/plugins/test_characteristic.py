"""Characteristic functions against their definition in complex numbers, and against finite differences."""

import math

import pytest
import torch
from torch import nn

from limbeck.errors import UsageError
from limbeck.matching import Chunks, MatcherContext, StepContext
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.seeding import generator
from limbeck.testing.cases import (
    CLASSES,
    SPEC,
    STEP,
    TinyBatches,
    require_close,
    require_slope,
    tiny_batches,
    tiny_network,
)
from limbeck_plugins.matchers import characteristic
from limbeck_plugins.matchers.characteristic import Characteristic

WHOLE, CUT = Chunks(10**6, 10**6), Chunks(2, 4)
REPEATS = 16


def network(name="tiny"):
    if name == "tiny":
        return tiny_network(torch.float64)
    module = registry().create("networks", name).build(SPEC.shape, CLASSES)
    return FunctionalNetwork(module, SPEC.shape, dtype=torch.float64, name=name)


class Case:
    """A matcher ready for its first step, its network, and images of three groups."""

    def __init__(self, name="tiny", **options):
        self.network, self.batches = network(name), tiny_batches()
        self.state = self.network.initial(generator(1, "init"))
        self.matcher = Characteristic(Characteristic.Options(**options))
        self.owner = generator(0, "match")
        self.matcher.prepare(MatcherContext(self.network, CLASSES, CLASSES, self.owner))

    def step(self, chunks=WHOLE, batches=None):
        batches = batches or self.batches
        batches.leaf.grad = None
        for tensor in self.matcher.adversary().values():
            tensor.grad = None
        self.matcher.begin(STEP)
        engine = self.matcher.engine(self.network, chunks)
        loss = engine.accumulate(batches, self.state, STEP, range(CLASSES))
        return loss, batches.leaf.grad

    def embedding(self, images):
        state = {name: value.clone() for name, value in self.state.items()}
        return self.network.features(state, images, ["embedding"])["embedding"]


def published(case, frequencies, leaf, amplitude=0.5, phase=0.5):
    """The distance in complex numbers: Phi(t) = mean of exp(i <t, f>), for features of length 1."""
    both = [
        case.embedding(images.flatten(0, 1)).unflatten(0, images.shape[:2]) for images in (leaf, case.batches.reals)
    ]
    total = 0
    for group in range(CLASSES):
        syn, real = (
            torch.exp(1j * (side[group] / side[group].norm(dim=1, keepdim=True)) @ frequencies.T.to(torch.complex128))
            for side in (part.to(torch.complex128) for part in both)
        )
        syn, real = syn.mean(0), real.mean(0)
        amplitudes = (syn.abs() - real.abs()) ** 2
        phases = 2 * (syn.abs() * real.abs() - (syn * real.conj()).real)
        total = total + 300 * (amplitude * amplitudes + phase * phases.clamp(min=1e-12)).sqrt().mean()
    return total


def assert_same(case, frequencies, chunks, **shares):
    loss, gradient = case.step(chunks)
    leaf = case.batches.leaf.detach().requires_grad_()
    expected = published(case, frequencies, leaf, **shares)
    require_close(loss, expected.detach(), "distance")
    require_close(gradient, torch.autograd.grad(expected, leaf, retain_graph=True)[0], "image gradient")
    return expected


@pytest.mark.parametrize("chunks", [WHOLE, CUT], ids=["whole", "cut"])
@pytest.mark.parametrize("shares", [{}, {"amplitude": 0.2, "phase": 0.9}, {"amplitude": 0.0, "phase": 1.0}], ids=str)
def test_random_frequencies_give_the_published_distance(chunks, shares):
    case = Case(frequencies=40, **shares)
    frequencies = torch.randn(40, 16, generator=generator(0, "match"), dtype=torch.float64)
    assert_same(case, frequencies, chunks, **shares)


def test_frequencies_are_standard_normal():
    case = Case(frequencies=20000)
    case.matcher.begin(STEP)
    drawn = case.matcher._frequencies
    assert drawn.shape == (20000, 16)
    assert abs(float(drawn.mean())) < 0.01 and abs(float(drawn.std()) - 1) < 0.01


def sampling_network(case):
    """The published network with the matcher's weights: linear, batch norm, leaky ReLU twice, then tanh."""
    width, layers, own = 16, [], case.matcher.adversary()
    for layer in range(3):
        linear, norm = nn.Linear(width, width), nn.BatchNorm1d(width)
        with torch.no_grad():
            linear.double().weight.copy_(own[f"{layer}.weight"])
            norm.double().weight.copy_(own[f"{layer}.scale"])
            norm.bias.copy_(own[f"{layer}.shift"])
        layers += [linear, norm, nn.Tanh() if layer == 2 else nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def learnt(**options):
    """A matcher that learns its frequencies, with weights that batch norm does not start from."""
    case = Case(sampling="learned", frequencies=5 * REPEATS, **options)
    with torch.no_grad():
        for number, tensor in enumerate(case.matcher.adversary().values()):
            tensor += 0.3 * torch.randn(tensor.shape, generator=generator(number, "moved"), dtype=tensor.dtype)
    case.owner.set_state(generator(3, "noise").get_state())
    return case


@pytest.mark.parametrize("chunks", [WHOLE, CUT], ids=["whole", "cut"])
def test_learned_frequencies_give_the_published_distance_and_learn_to_raise_it(chunks):
    """Every gradient is that of the whole expression, through both sides, with each frequency 16 times."""
    case = learnt()
    psi = sampling_network(case)
    noise = torch.randn(5, 16, generator=generator(3, "noise"), dtype=torch.float64)
    expected = assert_same(case, psi(noise).repeat(REPEATS, 1), chunks)
    own = case.matcher.adversary()
    for layer in range(3):
        linear, norm = psi[3 * layer], psi[3 * layer + 1]
        for key, tensor in (("weight", linear.weight), ("scale", norm.weight), ("shift", norm.bias)):
            slope = torch.autograd.grad(expected, tensor, retain_graph=True)[0]
            require_close(own[f"{layer}.{key}"].grad, -slope, f"gradient of layer {layer}'s {key}")
        assert float(torch.autograd.grad(expected, linear.bias, retain_graph=True)[0].abs().max()) < 1e-8


@pytest.mark.parametrize("chunks", [WHOLE, CUT], ids=["whole", "cut"])
@pytest.mark.parametrize("sampling", ["fixed", "learned"])
def test_gradients_are_the_slopes_of_the_distance(sampling, chunks):
    def case():
        return learnt() if sampling == "learned" else Case(frequencies=40)

    first = case()
    _, gradient = first.step(chunks)

    def distance(leaf):
        other = case()
        return other.step(chunks, TinyBatches(leaf.requires_grad_(), other.batches.reals))[0]

    require_slope(distance, first.batches.leaf, gradient)
    for name, tensor in first.matcher.adversary().items():

        def of_own(value, name=name):
            other = case()
            with torch.no_grad():
                other.matcher.adversary()[name].copy_(value)
            return other.step(chunks)[0]

        require_slope(of_own, tensor, tensor.grad, sign=-1.0)


def test_batch_norm_of_the_network_agrees_with_the_definition():
    case = Case("convnet-d1-w4-bn-swish", frequencies=8)
    frequencies = torch.randn(8, 64, generator=generator(0, "match"), dtype=torch.float64)
    assert_same(case, frequencies, WHOLE)


@pytest.mark.parametrize("options", [{"frequencies": 64}, {"frequencies": 64, "sampling": "learned"}], ids=str)
def test_a_step_begun_again_is_the_same_and_the_next_one_is_not(options):
    case, untouched = Case(**options), torch.get_rng_state()
    before = case.owner.get_state()
    first = case.step()
    second = case.step()
    case.owner.set_state(before)
    again = case.step()
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert first[0] != second[0]
    assert torch.equal(untouched, torch.get_rng_state())


def test_an_adversary_that_is_moved_raises_the_distance():
    case = learnt()
    before = case.owner.get_state()
    distances = []
    for _ in range(5):
        case.owner.set_state(before)
        distances.append(float(case.step()[0]))
        with torch.no_grad():
            for tensor in case.matcher.adversary().values():
                tensor -= 1e-3 * tensor.grad
    assert distances == sorted(distances) and distances[-1] > distances[0]


@pytest.mark.parametrize("shares", [{}, {"phase": 0.0}, {"amplitude": 0.0}], ids=str)
def test_equal_sides_are_as_near_as_the_clamp_allows(shares):
    case = Case(frequencies=40, **shares)
    reals = case.batches.reals
    same = TinyBatches(reals.clone().requires_grad_(), reals)
    loss, gradient = case.step(batches=same)
    phase = case.matcher.options.phase
    assert math.isclose(float(loss), CLASSES * 300 * math.sqrt(phase * 1e-12), rel_tol=1e-6, abs_tol=1e-9)
    assert float(gradient.abs().max()) < 1e-6


def test_with_equal_shares_the_distance_is_that_of_complex_numbers():
    """2(ab - <a, b>) + (a - b)^2 = |a - b|^2: the published default is a plain distance of the two functions."""
    draw = generator(0, "sides")
    syn, real = (torch.rand(2, 50, generator=draw, dtype=torch.float64) for _ in range(2))
    matcher = Characteristic()
    sides = [{"real": side[0], "imaginary": side[1]} for side in (syn, real)]
    expected = 300 * 0.5**0.5 * (syn - real).norm(dim=0).mean()
    torch.testing.assert_close(matcher.discrepancy(*sides, StepContext(0, 0, 1, 0)), expected)


def test_frequencies_beyond_memory_are_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(characteristic, "available_memory", lambda device: 10**6)
    with pytest.raises(UsageError) as refused:
        Case(frequencies=50000)
    message = str(refused.value)
    assert "50000 frequencies of 16 numbers need 8.4 MiB, but cpu has 976.6 KiB left" in message
    fitting = int(message.split("matcher.frequencies=")[1].split()[0])
    assert "\n" not in message and 0 < fitting < 50000
    Case(frequencies=fitting)
    Case(frequencies=50000 // 16, sampling="learned")
    monkeypatch.setattr(characteristic, "available_memory", lambda device: None)
    Case(frequencies=50000)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"amplitude": 0, "phase": 0}, "compares nothing"),
        ({"sampling": "learned", "frequencies": 16}, "32 frequencies or more"),
        ({"frequencies": 0}, "must be 1 or more"),
        ({"sampling": "gauss"}, "must be 'fixed' or 'learned'"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        registry().create("matchers", {"name": "characteristic", **options})
