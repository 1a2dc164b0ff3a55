"""Each check of spaces, proxies and searchers finds what it is there to find, and the others let the component pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.entries import Entry
from limbeck.errors import UsageError
from limbeck.plugins import load_installed, using
from limbeck.seeding import generator
from limbeck.testing import check
from limbeck_applications.nas.proxy import Prepared, Proxy, Score
from limbeck_applications.nas.searcher import Searcher
from limbeck_applications.nas.space import Gene, SearchSpace


@pytest.fixture
def failures():
    """What fails of a class, tried as a component of a kind: reason by check."""

    def ask(kind, cls):
        with using(load_installed()) as registry:
            registry.add(Entry(kind, "tried", cls, summary="tried", plugin="tests", distribution="tests"))
            return {one.check: one.reason for one in check(kind, "tried") if one.status == "failed"}

    return ask


class Wide(SearchSpace):
    """Linear classifiers of two layers; unpublished."""

    choices = Gene("width", (2, 3, 4)), Gene("activation", ("relu", "tanh"))

    def genes(self):
        return self.choices

    def build(self, architecture, shape, num_classes):
        values = self.values(architecture.genome)
        between = nn.ReLU() if values["activation"] == "relu" else nn.Tanh()
        pixels = shape[0] * shape[1] * shape[2]
        return nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, values["width"]), between, nn.Linear(values["width"], num_classes)
        )


class Twins(Wide):
    """Two genes of one name; unpublished."""

    choices = Gene("width", (2, 3, 4)), Gene("width", (2, 3, 4))

    def build(self, architecture, shape, num_classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], num_classes))


class Nameless(Wide):
    """Different networks of one name; unpublished."""

    def name_of(self, genome):
        return "network"

    def find(self, name):
        return super().find(name)


class Lost(Wide):
    """Finds the first architecture, whatever is asked for; unpublished."""

    def find(self, name):
        return self.first()


class OneWay(Wide):
    """Neighbours in one direction; unpublished."""

    def neighbours(self, architecture):
        return [each for each in super().neighbours(architecture) if each.genome > architecture.genome]


class Narrow(Wide):
    """Gives one number, whatever the classes; unpublished."""

    def build(self, architecture, shape, num_classes):
        return super().build(architecture, shape, 1)


class Slope(nn.Module):
    """A number that no signature sees, since it stands among the weights."""

    def __init__(self, steep):
        super().__init__()
        self.linear = nn.Linear(64, 4)
        self.register_buffer("steep", torch.tensor(float(steep)))

    def draw(self, generator):
        return {"steep": self.steep.clone()}

    def forward(self, images):
        return self.steep * self.linear(images.flatten(1))


class Masked(Wide):
    """Networks that differ in what no signature sees; unpublished."""

    def build(self, architecture, shape, num_classes):
        if num_classes != 4 or shape != (1, 8, 8):
            raise UsageError("this test has four classes of 8x8 images")
        return Slope(1 + architecture.genome[0])


GENES = "Its genes have different names, each at least one value and none twice, and are always the same"
NAMES = "Different architectures have different names, in one line"
FINDS = "An architecture is found by its name, and an unknown name is refused in one line"
MUTUAL = "Neighbours are other architectures, each once, and have the architecture as their neighbour"
BUILDS = "Networks give one number a class, and have the parameters that they cost"
STRUCTURE = "Building twice gives one structural signature; of equal signatures are networks that compute the same"


def test_a_fair_space_passes(failures):
    assert failures("nas_spaces", Wide) == {}


@pytest.mark.parametrize(
    ("cls", "check", "reason"),
    [
        (Twins, GENES, "two genes have the same name"),
        (Nameless, NAMES, "'network' is the name of"),
        (Lost, FINDS, "a name led to another architecture"),
        (OneWay, MUTUAL, "but not the other way round"),
        (Narrow, BUILDS, "gives (3, 1) for 3 images"),
        (Masked, STRUCTURE, "have one signature and compute different things"),
    ],
)
def test_a_space_that_breaks_a_promise_is_found_out(failures, cls, check, reason):
    assert reason in failures("nas_spaces", cls)[check]


class Norm(Proxy):
    """Length of fresh weights; unpublished."""

    def prepare(self, problem, folder):
        return Prepared({"scale": torch.ones(1)}, {"one": 1}, 0.1)

    def score(self, candidates, material):
        return [Score(self.value(each, candidates, material), 0.1) for each in candidates]

    def value(self, candidate, candidates, material):
        state = candidate.network.initial(generator(candidate.seed, "norm"))
        return float(sum(value.double().square().sum() for value in state.values()))


class Loose(Norm):
    """Prepares what no other process can be given; unpublished."""

    def prepare(self, problem, folder):
        return Prepared({}, {"pair": (1, 2)}, 0.1)


COUNTER = iter(range(10**6))


class Moody(Norm):
    """Scores by something that no seed reaches; unpublished."""

    def value(self, candidate, candidates, material):
        return float(next(COUNTER))


class Fresh(Norm):
    """Prepares something else each time; unpublished."""

    def prepare(self, problem, folder):
        return Prepared({"scale": torch.full((1,), float(next(COUNTER)))}, {}, 0.1)


class Endless(Norm):
    """Gives no finite number; unpublished."""

    def value(self, candidate, candidates, material):
        return float("nan")


class Ranks(Norm):
    """Scores candidates against each other; unpublished."""

    def value(self, candidate, candidates, material):
        own = super().value(candidate, candidates, material)
        return own / max(super(Ranks, self).value(each, candidates, material) for each in candidates)


class Keeps(Norm):
    """Remembers what it prepared in place of handing it out; unpublished."""

    def prepare(self, problem, folder):
        self.scale = 2.0
        return Prepared()

    def value(self, candidate, candidates, material):
        return self.scale


class Vandal(Norm):
    """Changes what it was given; unpublished."""

    def value(self, candidate, candidates, material):
        material.prepared.tensors["scale"].add_(1)
        return 1.0


class Secretive(Norm):
    """Says that it trains, and hands out nothing; unpublished."""

    trains = True


class Stubborn(Norm):
    """Trains from fresh weights whatever it is given; unpublished."""

    trains = True

    def score(self, candidates, material):
        fresh = [each.network.initial(generator(each.seed, "norm")) for each in candidates]
        return [Score(1.0, 0.1, {}, state) for state in fresh]


def test_a_fair_proxy_passes(failures):
    assert failures("nas_proxies", Norm) == {}


@pytest.mark.parametrize(
    ("cls", "check", "reason"),
    [
        (Loose, "What it prepares are tensors and JSON values, and what they cost is not negative", "written as JSON"),
        (
            Fresh,
            "The same images and seed give the same, in a new folder and in one where it is there already",
            "a new folder",
        ),
        (
            Endless,
            "Each candidate gets a finite score, with the seconds it took and finite figures",
            "is no finite float",
        ),
        (Moody, "The same candidates get the same scores, from an instance that has prepared nothing", "other scores"),
        (Keeps, "The same candidates get the same scores, from an instance that has prepared nothing", "scale"),
        (Ranks, "A score does not depend on which other candidates are scored in the same call", "alone"),
        (
            Vandal,
            "The images to train and to rank on, and what was prepared, are afterwards what they were",
            "scale of what was prepared have changed",
        ),
        (
            Secretive,
            "A proxy that trains hands out all weights of each network, and one that does not hands out none",
            "it hands out no weights",
        ),
        (Stubborn, "A proxy that trains begins with the weights that a candidate brings", "gave the same weights"),
    ],
)
def test_a_proxy_that_breaks_a_promise_is_found_out(failures, cls, check, reason):
    assert reason in failures("nas_proxies", cls)[check]


class Lot(Searcher):
    """Architectures by lot, one after the other; unpublished."""

    def search(self, lab):
        chance = lab.generator("lot")
        while lab.remaining:
            lab.score([self.draw(lab, chance)], **self.notes(lab))

    def draw(self, lab, chance):
        return lab.sample(chance)

    def notes(self, lab):
        return {"number": len(lab.trials)}


class Idle(Lot):
    """Asks for nothing; unpublished."""

    def search(self, lab):
        return


class Fickle(Lot):
    """Draws from something that no seed reaches; unpublished."""

    def draw(self, lab, chance):
        return lab.sample(torch.Generator().manual_seed(next(COUNTER)))


class Modest(Lot):
    """Stops after one; unpublished."""

    def search(self, lab):
        lab.score([lab.space.first()])


class Late(Lot):
    """Says only in its search that it needs more; unpublished."""

    def search(self, lab):
        if lab.evaluations < 3:
            raise UsageError("give --evaluations 3 or more.")
        super().search(lab)


class Early(Late):
    """Says it in its check; unpublished."""

    def check(self, plan):
        if plan.evaluations < 3:
            raise UsageError("give --evaluations 3 or more.")


class Chatty(Lot):
    """Notes what no file takes; unpublished."""

    def notes(self, lab):
        return {"pair": (1, 2)}


class Forgetful(Lot):
    """Goes on from what was kept as if it were something else; unpublished."""

    def search(self, lab):
        known = lab.kept("begun") is not None
        lab.keep("begun", {"one": torch.ones(1)})
        lab.score([lab.space.first()], again=known)
        super().search(lab)


FEW = "With two evaluations it scores two, or refuses them in one line of its check, before anything is computed"
ASKS = "It scores architectures, and no more of them than it may"


@pytest.mark.parametrize("cls", [Lot, Early])
def test_a_fair_searcher_passes(failures, cls):
    assert failures("nas_searchers", cls) == {}


@pytest.mark.parametrize(
    ("cls", "check", "reason"),
    [
        (Idle, ASKS, "it scored nothing"),
        (Modest, FEW, "1 architectures of 2"),
        (Late, FEW, "its check lets 2 evaluations pass, and its search does not: give --evaluations 3 or more."),
        (Fickle, "The same seed asks for the same architectures, whatever was drawn elsewhere before", "second time"),
        (Chatty, "What it notes of a trial are JSON values", "written as JSON"),
        (
            Forgetful,
            "A search that was killed between its requests and is continued finds what one without a kill finds",
            "than without the kill",
        ),
    ],
)
def test_a_searcher_that_breaks_a_promise_is_found_out(failures, cls, check, reason):
    assert reason in failures("nas_searchers", cls)[check]
