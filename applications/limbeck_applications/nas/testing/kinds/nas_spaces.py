"""What a search space promises: names and genomes that are one to one, and networks that are what they cost."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from limbeck.errors import UsageError
from limbeck.networks.signature import signature
from limbeck.seeding import generator
from limbeck.testing.general import names_its_source
from limbeck.testing.suite import NotApplicable, Subject, require
from limbeck_applications.nas.cost import Cost
from limbeck_applications.nas.space import LISTED, Architecture, Gene, SearchSpace
from limbeck_applications.nas.staged import StagedSpace
from limbeck_applications.nas.testing.cases import functional, tiny_problem

BASE = SearchSpace
FAMILIES = (SearchSpace, StagedSpace)
RECORDS = (Gene, Architecture, Cost)
"""What authors are handed and hand out, for the page of the kind."""

DRAWN = 6
"""Architectures that each check looks at."""


def _drawn(subject: Subject, number: int = DRAWN) -> tuple[SearchSpace, list[Architecture]]:
    """Return the space and architectures of it that fit tiny images."""
    space, problem = subject.make(), tiny_problem()

    def draw() -> list[Architecture]:
        chance = generator(0, "drawn")
        try:
            found = [space.sample(chance, problem.spec) for _ in range(DRAWN)]
        except UsageError as error:
            raise NotApplicable(str(error)) from None
        return list({each.genome: each for each in found}.values())

    return space, subject.keep("drawn", draw)[:number]


def has_genes(subject: Subject) -> None:
    """Its genes have different names, each at least one value and none twice, and are always the same."""
    space: SearchSpace = subject.make()
    genes = space.genes()
    require(genes, "there are no genes")
    require(len({gene.name for gene in genes}) == len(genes), "two genes have the same name")
    for gene in genes:
        require(gene.values, f"gene '{gene.name}' has no values")
        require(len(set(gene.values)) == len(gene.values), f"gene '{gene.name}' has a value twice")
    require(space.genes() == genes and subject.make().genes() == genes, "the genes were others the second time")


def decodes_what_it_encodes(subject: Subject) -> None:
    """An architecture's genome decodes to that architecture, traits in words included."""
    space, drawn = _drawn(subject)
    for own in drawn:
        again = space.decode(space.encode(own))
        require(again == own, f"'{own.name}' came back as '{again.name}'")
        require(again.traits == own.traits, f"the traits of '{own.name}' were others the second time")
        words = all(isinstance(key, str) and isinstance(value, str) for key, value in own.traits.items())
        require(words, f"the traits of '{own.name}' are not words")


def names_are_unique(subject: Subject) -> None:
    """Different architectures have different names, in one line."""
    space, drawn = _drawn(subject)
    genomes: dict[str, tuple[int, ...]] = {}
    for own in [*drawn, *(near for each in drawn[:2] for near in space.neighbours(each))]:
        require(own.name and own.name == " ".join(own.name.split()), f"{own.name!r} is no name in one line")
        other = genomes.setdefault(own.name, own.genome)
        require(other == own.genome, f"'{own.name}' is the name of {other} and of {own.genome}")


def finds_by_name(subject: Subject) -> None:
    """An architecture is found by its name, and an unknown name is refused in one line."""
    space, drawn = _drawn(subject, 2)
    try:
        found = [space.find(own.name) for own in drawn]
    except UsageError as error:
        if space.size <= LISTED:
            raise
        raise NotApplicable(str(error)) from None
    require(found == drawn, "a name led to another architecture")
    try:
        space.find("no such architecture")
    except UsageError as error:
        require("\n" not in str(error), "the message has several lines")
        return
    require(False, "an unknown name was found")


def neighbours_are_mutual(subject: Subject) -> None:
    """Neighbours are other architectures, each once, and have the architecture as their neighbour.

    A change of one gene need not lead back where several genomes are one network: there that is not asked of the
    neighbours that every space has by default.
    """
    space, drawn = _drawn(subject, 2)
    mutual = type(space).canonical is SearchSpace.canonical or type(space).neighbours is not SearchSpace.neighbours
    for own in drawn:
        near = space.neighbours(own)
        require(len({each.genome for each in near}) == len(near), f"'{own.name}' has a neighbour twice")
        require(own not in near, f"'{own.name}' is its own neighbour")
        for each in near[:5] if mutual else ():
            back = own in space.neighbours(each)
            require(back, f"'{each.name}' is a neighbour of '{own.name}', but not the other way round")


def builds_what_it_says(subject: Subject) -> None:
    """Networks give one number a class, and have the parameters that they cost."""
    space, drawn = _drawn(subject)
    problem = tiny_problem()
    images = problem.train.normalise(problem.train.images[:3])
    for own in drawn:
        network, cost = functional(space, own, problem), space.cost(own, problem.spec)
        state = network.initial(generator(0, "initial"))
        logits = network(state, images)
        require(logits.shape == (3, problem.spec.num_classes), f"'{own.name}' gives {tuple(logits.shape)} for 3 images")
        require(bool(torch.isfinite(logits).all()), f"'{own.name}' gives numbers that are not finite")
        held = sum(each.numel() for each in network.module.parameters())
        require(held == cost.parameters, f"'{own.name}' has {held} parameters, but costs {cost.parameters}")


def structures_are_told_apart(subject: Subject) -> None:
    """Building twice gives one structural signature; of equal signatures are networks that compute the same."""
    space, drawn = _drawn(subject)
    problem, known = tiny_problem(), dict[str, tuple[Architecture, Tensor]]()
    images = problem.train.normalise(problem.train.images[:3])
    for own in drawn:
        network, again = (functional(space, own, problem) for _ in range(2))
        structure = signature(network.module)
        require(structure == signature(again.module), f"'{own.name}' has another structure the second time")
        logits = network(network.initial(generator(0, "initial")), images)
        other, expected = known.setdefault(structure, (own, logits))
        same = bool(torch.allclose(logits, expected, atol=1e-5))
        require(same, f"'{own.name}' and '{other.name}' have one signature and compute different things")


def refuses_what_does_not_fit(subject: Subject) -> None:
    """An architecture that does not fit images of one pixel is refused in one line."""
    space, drawn = _drawn(subject)
    spec = replace(tiny_problem().spec, shape=(1, 1, 1))
    refused = 0
    for own in drawn:
        try:
            space.cost(own, spec)
        except UsageError as error:
            refused += 1
            require("\n" not in str(error), "the message has several lines")
    if not refused:
        raise NotApplicable("its networks take images of any size")


def refuses_other_genomes(subject: Subject) -> None:
    """A genome of another length, and a position that a gene does not have, are refused in one line."""
    space: SearchSpace = subject.make()
    genes = space.genes()
    beyond = [len(genes[0].values), *[0] * (len(genes) - 1)]
    for genome in ([0] * (len(genes) + 1), beyond, [-1, *beyond[1:]]):
        try:
            space.decode(genome)
        except UsageError as error:
            require("\n" not in str(error), "the message has several lines")
        else:
            require(False, f"{genome} was decoded")


CHECKS = (
    names_its_source,
    has_genes,
    decodes_what_it_encodes,
    names_are_unique,
    finds_by_name,
    neighbours_are_mutual,
    builds_what_it_says,
    structures_are_told_apart,
    refuses_what_does_not_fit,
    refuses_other_genomes,
)
