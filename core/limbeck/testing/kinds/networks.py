"""What a network promises: a classifier that starts from a generator, and an embedding to match."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from limbeck.data import DataSpec
from limbeck.errors import MissingExtraError, UsageError
from limbeck.networks import FunctionalNetwork, Network, build_network
from limbeck.networks.functional import EMBEDDING
from limbeck.seeding import generator
from limbeck.testing.cases import normal, require_close
from limbeck.testing.randomness import require_same_twice, same_bits
from limbeck.testing.suite import NotApplicable, Subject, require

BASE = Network
CLASSES, COUNT = 10, 3
SPEC = DataSpec("tiny", (3, 32, 32), CLASSES, tuple("abcdefghij"), (0.5,) * 3, (0.25,) * 3, mirror=True)


def _network(subject: Subject) -> FunctionalNetwork:
    """Return the network, built once; with its trial options where it has any."""

    def build() -> FunctionalNetwork:
        if not subject.given():
            return build_network(subject.name, SPEC)
        with torch.random.fork_rng(devices=[]):
            module = subject.make().build(SPEC.shape, CLASSES)
        return FunctionalNetwork(module, SPEC.shape, name=subject.name).fitting()

    found: FunctionalNetwork = subject.keep("network", build)
    return found


def _start(network: FunctionalNetwork, seed: int = 0) -> dict[str, Tensor]:
    return network.initial(generator(seed, "tiny", "init"))


def _images() -> Tensor:
    return normal(COUNT, *SPEC.shape, dtype=torch.float32)


def classifies(subject: Subject) -> None:
    """Images become one finite number for each class, and gradients reach images and weights."""
    network, images = _network(subject), _images().requires_grad_()
    state = {name: value.requires_grad_(name in network.parameter_names) for name, value in _start(network).items()}
    logits = network(state, images, dropout="off")
    require(logits.shape == (COUNT, CLASSES), f"{COUNT} images become {list(logits.shape)}, with {CLASSES} classes")
    weights = [state[name] for name in network.parameter_names]
    labels = torch.arange(COUNT)
    gradients = torch.autograd.grad(cross_entropy(logits, labels), [images, *weights], allow_unused=True)
    unused = [n for n, g in zip(["the images", *network.parameter_names], gradients, strict=True) if g is None]
    require(not unused, f"no gradient reaches {', '.join(unused)}")
    found = [logits, *(g for g in gradients if g is not None)]
    require(all(bool(value.isfinite().all()) for value in found), "some numbers are not finite")
    require(bool(found[1].any()), "the gradient at the images is zero")


def serves_other_images(subject: Subject) -> None:
    """It is built for grey images and other numbers of classes, or refuses them in one line."""
    shape, classes = (1, 28, 28), 7
    try:
        with torch.random.fork_rng(devices=[]):
            network = FunctionalNetwork(subject.make().build(shape, classes), shape, name=subject.name).fitting()
    except MissingExtraError:
        raise
    except UsageError as refusal:
        raise NotApplicable(f"refuses 1x28x28: {refusal}") from None
    logits = network(_start(network), normal(2, *shape, dtype=torch.float32), train=False)
    require(logits.shape == (2, classes), f"2 images of {classes} classes become {list(logits.shape)}")


def starts_from_its_generator(subject: Subject) -> None:
    """The same generator seed gives the same initial weights, another seed others."""
    network = _network(subject)
    require_same_twice(lambda: _start(network))
    same = all(torch.equal(a, b) for a, b in zip(_start(network).values(), _start(network, 1).values(), strict=True))
    require(not same, "two seeds give the same weights")


def taps_its_embedding(subject: Subject) -> None:
    """The last linear layer is the classifier, and what enters it the embedding."""
    network, images = _network(subject), _images()
    state = _start(network)
    found = network.features(state, images, [EMBEDDING], train=False)[EMBEDDING]
    weight = state[f"{network.classifier_name}.weight"]
    bias = state.get(f"{network.classifier_name}.bias", torch.zeros(len(weight)))
    require(len(weight) == CLASSES, f"'{network.classifier_name}' has {len(weight)} outputs for {CLASSES} classes")
    require(found.shape == (COUNT, weight.shape[1]), f"the embedding is {list(found.shape)}")
    logits = network(state, images, train=False)
    require_close(found @ weight.T + bias, logits, "classifier of the embedding and logits", 1e-4)


def judges_images_alone(subject: Subject) -> None:
    """An image's output does not depend on the others of its batch, once trained."""
    network, images = _network(subject), _images()
    state = _start(network)
    whole = network(state, images, train=False)
    require_close(network(state, images[:1], train=False), whole[:1], "an image alone and among others", 1e-4)


def builds_the_same_twice(subject: Subject) -> None:
    """It has the same parameters every time it is built, in the same order."""
    with torch.random.fork_rng(devices=[]):
        other = FunctionalNetwork(subject.make().build(SPEC.shape, CLASSES), SPEC.shape)
    require(same_bits(_start(_network(subject)), _start(other)), "initial weights differ")


CHECKS = (
    classifies,
    serves_other_images,
    starts_from_its_generator,
    taps_its_embedding,
    judges_images_alone,
    builds_the_same_twice,
)
