"""The networks that a search trained in full: what is loaded is what was tested."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from limbeck.data import load_dataset
from limbeck.errors import ArtifactError, UsageError
from limbeck.execution.executors import job_keys, read_result
from limbeck.files import read_json, signed, write_json
from limbeck.plugins import registry
from limbeck_applications.nas.proxies.counts import Parameters
from limbeck_applications.nas.proxy import Score
from limbeck_applications.nas.report.page import publish
from limbeck_applications.nas.study.images import images_of
from limbeck_applications.nas.study.kept import JOBS, NAME, load_outcome
from limbeck_applications.nas.study.network import load_network, read_network
from limbeck_applications.nas.study.rank import rank
from limbeck_applications.nas.study.search import search
from limbeck_applications.nas.study.truth import run_trainings, training_jobs

pytestmark = pytest.mark.usefixtures("one_thread")

SPACE = {"name": "chains", "widths": [2, 4], "stages": 1, "layers": 2, "norms": ["batch"]}


@pytest.fixture
def asked(settings):
    """Settings of a search of small chains: ``asked(**changes)``."""
    return lambda **changes: settings("search", **{"space": SPACE, "evaluations": 4, "retrain": 2, **changes})


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    """Two networks of each of two searches from different seeds."""
    folder = tmp_path_factory.mktemp("search")
    return folder, search(settings("search", space=SPACE, evaluations=4, retrain=2, seeds=2), folder)


def accuracy(network, spec):
    """Return the share of the test images that a network gets right, from pixels in [0, 1]."""
    test = load_dataset("digits").test
    with torch.no_grad():
        right = network(spec.normalise(test.images.float() / 255)).argmax(1) == test.labels
    return right.double().mean().item()


def content(folder):
    return {path.name: path.read_bytes() for path in (folder / JOBS).iterdir()}


def test_a_loaded_network_has_exactly_the_accuracy_that_was_stated(whole):
    folder, outcome = whole
    stated = {(each.architecture, each.seed): each.test for own in outcome.searches for each in own.retrained}
    assert len(stated) == 4 and len(set(stated.values())) > 1
    for (name, seed), test in stated.items():
        network, spec = load_network(folder, name, seed=seed)
        assert isinstance(network, nn.Module) and not network.training and spec.name == "digits"
        assert accuracy(network, spec) == pytest.approx(test, abs=1e-12)


def test_without_a_name_it_is_the_best_by_score(whole):
    folder, outcome = whole
    best = max((own.best for own in outcome.searches), key=lambda each: each.value)
    seed = next(own.seed for own in outcome.searches if best.architecture.name in own.weights)
    named, _ = load_network(str(folder), best.architecture.name, seed=seed)
    for name, value in load_network(folder)[0].state_dict().items():
        assert torch.equal(value, named.state_dict()[name])


def test_global_random_numbers_stay_as_they_were(whole):
    state = torch.get_rng_state()
    load_network(whole[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_a_study_finds_its_weights_again(whole, computed):
    folder, outcome = whole
    before = content(folder)
    assert load_outcome(folder) == outcome
    assert [own.weights for own in search(outcome.settings, folder).searches] == [o.weights for o in outcome.searches]
    assert computed == [] and content(folder) == before
    assert all((folder / file).exists() for own in outcome.searches for file in own.weights.values())


def test_the_name_of_a_training_is_that_of_a_search_that_kept_no_weights(whole, asked, tmp_path, computed):
    """A folder of an earlier version: it is read, its page is written, and what has no weights is trained again."""
    outcome = whole[1]
    search(asked(), tmp_path)
    stated = {path.name: read_result(path)["test"] for path in (tmp_path / JOBS).glob("*.json")}
    for path in (tmp_path / JOBS).glob("*.safetensors"):
        path.unlink()
    values = read_json(tmp_path / NAME)
    for each in values["searches"]:
        del each["weights"]
    write_json(tmp_path / NAME, signed({key: value for key, value in values.items() if key != "sha256"}))
    old = load_outcome(tmp_path)
    assert [each.test for each in old.searches[0].retrained] == [e.test for e in outcome.searches[0].retrained]
    assert publish(tmp_path, old).exists() and "load_network" not in (tmp_path / "report.html").read_text()
    with pytest.raises(UsageError, match=f"--resume {tmp_path} trains the best"):
        load_network(tmp_path)
    computed.clear()
    search(asked(), tmp_path)
    assert len(computed) == 2
    assert {path.name: read_result(path)["test"] for path in (tmp_path / JOBS).glob("*.json")} == stated
    assert load_network(tmp_path)


def test_an_accuracy_stays_stated_where_only_its_weights_are_gone_and_cannot_be_had_again(asked, tmp_path, monkeypatch):
    before = search(asked(retrain=1), tmp_path).searches[0]
    for path in (tmp_path / JOBS).glob("*.safetensors"):
        path.unlink()
    serial = type(registry().create("executors", "serial"))
    trained = serial.run

    def run(self, jobs, *others):
        if jobs and "weights" in jobs[0].config:
            others[-1](0, {"failed": "out of memory"})
        else:
            trained(self, jobs, *others)

    monkeypatch.setattr(serial, "run", run)
    after = search(asked(retrain=1), tmp_path).searches[0]
    assert after.retrained == before.retrained and len(after.retrained) == 1
    assert before.weights and after.weights == {}


def test_processes_keep_the_same_weights(whole, asked, tmp_path):
    images, told = images_of(asked(), data_root=None, download=False), []
    best = whole[1].searches[0].best.architecture
    jobs = training_jobs(images, [(best, 0)], asked().training.model_dump(mode="json"))
    executor = registry().create("executors", {"name": "processes", "workers": 1})
    (path,) = run_trainings(executor, jobs, tmp_path / JOBS, lambda *result: told.append(result), weights=True)
    network, spec = read_network(path)
    assert path.stem == job_keys(jobs)[0]
    assert f"{JOBS}/{path.name}" == whole[1].searches[0].weights[best.name]
    assert accuracy(network, spec) == pytest.approx(told[0][1]["test"], abs=1e-12)
    for name, value in load_network(whole[0], best.name, seed=0)[0].state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


def test_weights_that_are_damaged_or_gone_are_said_in_one_line_and_trained_again(asked, tmp_path, computed):
    outcome = search(asked(retrain=1), tmp_path)
    path = tmp_path / next(iter(outcome.searches[0].weights.values()))
    path.write_bytes(path.read_bytes()[:-9])
    for what in ("damaged or of another version", "gone: type "):
        with pytest.raises(ArtifactError, match=f"nas search --resume {tmp_path}, which trains it again") as said:
            load_network(tmp_path)
        assert "\n" not in str(said.value) and f"{path} is {what}" in str(said.value)
        path.unlink(missing_ok=True)
    computed.clear()
    search(asked(retrain=1), tmp_path)
    assert len(computed) == 1 and load_network(tmp_path)


@pytest.mark.parametrize(
    ("name", "seed", "said"),
    [
        (
            "9_batch",
            None,
            r"no weights of '9_batch', but of '.*' \(seed 0\), .*: ask for one of these, or .* --retrain 3",
        ),
        (None, 7, r"no weights of any network from seed 7, but of "),
    ],
)
def test_a_network_that_is_not_there_is_refused_with_those_that_are(whole, name, seed, said):
    with pytest.raises(UsageError, match=said) as refused:
        load_network(whole[0], name, seed=seed)
    assert "\n" not in str(refused.value)


def test_where_nothing_was_trained_the_line_says_what_to_type(asked, settings, tmp_path):
    search(asked(retrain=0), tmp_path / "search")
    with pytest.raises(UsageError, match=r"none was to be trained in full: repeat .* --retrain 1\."):
        load_network(tmp_path / "search")
    rank(settings("rank", proxies=["parameters"]), tmp_path / "rank")
    with pytest.raises(UsageError, match="holds no search"):
        load_network(tmp_path / "rank")
    with pytest.raises(UsageError, match="holds no study"):
        load_network(tmp_path / "nothing")


def test_where_all_scores_are_equal_the_line_says_so(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(Parameters, "score", lambda self, candidates, material: [Score(1.0, 0.0) for _ in candidates])
    search(asked(proxy="parameters"), tmp_path)
    with pytest.raises(UsageError, match=r"since all scores are equal and none is the best: search by another proxy\."):
        load_network(tmp_path)


def test_the_page_says_where_the_weights_lie(whole):
    folder, outcome = whole
    page = publish(folder, outcome).read_text()
    for own in outcome.searches:
        for name, file in own.weights.items():
            assert file in page and name in page
    assert "load_network(folder, " in page


def test_a_file_says_what_it_is(whole):
    from safetensors import safe_open

    folder, outcome = whole
    own = outcome.searches[0]
    with safe_open(folder / own.weights[own.best.architecture.name], framework="pt") as stored:
        about = json.loads(stored.metadata()["about"])
    assert about["architecture"] == own.best.architecture.name and about["test"] == own.reached
    assert about["genome"] == list(own.best.architecture.genome) and about["training"]["epochs"] == 1
