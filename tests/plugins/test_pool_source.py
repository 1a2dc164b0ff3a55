"""A pool of networks: trained once, found again, and looked through between start and end."""

from dataclasses import replace

import pytest
import torch

from limbeck import trained as pools
from limbeck.configure import configure
from limbeck.distillation.checkpoint import unsealed
from limbeck.errors import DivergenceError, UsageError
from limbeck.matching import SourceContext, StepContext
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.runs import resumed_config, run
from limbeck.seeding import Generators, derive_seed, generator
from limbeck.testing.cases import SPEC, tiny_data
from limbeck.trained import NetworkPool, NetworkTraining
from limbeck.training import Epochs, StepSchedule, TrainData, fit

OPTIONS = {"networks": 2, "epochs": 2, "batch_size": 8}


def network(name="convnet-d1-w4-in"):
    module = registry().create("networks", name).build(SPEC.shape, SPEC.num_classes)
    return FunctionalNetwork(module, SPEC.shape, name=name)


@pytest.fixture
def fits(monkeypatch):
    """Every training that the pool asks for."""
    calls = []

    def noted(*args, **settings):
        calls.append(settings)
        return fit(*args, **settings)

    monkeypatch.setattr(pools, "fit", noted)
    return calls


@pytest.fixture
def forget(monkeypatch):
    """Make this process forget what it holds, as the next one does."""
    return pools._alive.clear


@pytest.fixture(autouse=True)
def _alone(forget):
    forget()


def source(cache=None, *, seed=0, net=None, real=None, on_epoch=None, **options):
    made = registry().create("network_sources", {"name": "pool", **OPTIONS, **options})
    real = tiny_data() if real is None else real
    synthetic = TrainData(torch.zeros(3, *SPEC.shape), torch.arange(3))
    made.prepare(
        SourceContext(
            net or network(), 1, Generators(seed), real, lambda: synthetic, None, None, cache=cache, on_epoch=on_epoch
        )
    )
    return made


def states(made, steps=4):
    return [made.state(StepContext(step, 0, 1, step)) for step in range(steps)]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_networks_are_trained_as_published(fits):
    defaults = registry().create("network_sources", "pool").options
    assert (defaults.networks, defaults.epochs, defaults.lr, defaults.momentum) == (20, 60, 0.01, 0.9)
    assert (defaults.weight_decay, defaults.batch_size, defaults.outer) == (5e-4, 128, 1)
    assert [defaults.schedule.scale(done, 60) for done in (0, 39, 40, 49, 50)] == pytest.approx([1, 1, 0.2, 0.2, 0.04])
    made = source(augmentation={"name": "dsa", "strategy": "crop"})
    assert len(fits) == 2
    assert fits[0]["schedule"] == StepSchedule((1, 1), 0.2) and fits[0]["budget"] == Epochs(2)
    assert fits[0]["augmentation"].options.strategy == "crop"
    assert made._pool[0].seconds > 0


def test_a_network_is_that_of_one_training_by_hand():
    made = source()
    net = network()
    for index, found in enumerate(made._pool):
        start = net.initial(generator(0, "pool", index, "init"))
        by_hand = fit(
            net,
            start=[start],
            data=tiny_data(),
            lr=0.01,
            momentum=0.9,
            weight_decay=5e-4,
            budget=Epochs(2),
            schedule=StepSchedule((1, 1), 0.2),
            batch_size=8,
            seeds=[derive_seed(0, "pool", index, "train")],
        )
        assert same(found.start, start)
        assert same(found.state, by_hand.states[0])
    assert not same(made._pool[0].start, made._pool[1].start)


def test_another_run_finds_the_networks_and_trains_nothing(fits, forget, tmp_path):
    first = source(tmp_path)
    assert len(fits) == 2
    kept = [(trained.start, trained.state) for trained in first._pool]
    del first
    forget()
    second = source(tmp_path, seed=9)
    assert len(fits) == 2
    assert all(same(t.start, s) and same(t.state, e) for t, (s, e) in zip(second._pool, kept, strict=True))
    assert set(second.spent) == {trained.key for trained in second._pool}
    assert all(seconds > 0 for seconds in second.spent.values())


def test_more_networks_are_trained_where_there_are_too_few(fits, forget, tmp_path):
    few = [trained.key for trained in source(tmp_path)._pool]
    forget()
    many = source(tmp_path, networks=3)
    assert len(fits) == 3
    assert [trained.key for trained in many._pool][:2] == few


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 3},
        {"lr": 0.02},
        {"decay": 0.5},
        {"momentum": 0.5},
        {"weight_decay": 0.0},
        {"batch_size": 4},
        {"images": 12},
        {"seed": 1},
        {"augmentation": {"name": "dsa"}},
        {"net": network("convnet-d1-w6-in")},
        {"net": FunctionalNetwork(network().module.double(), SPEC.shape, dtype=torch.float64, name="convnet-d1-w4-in")},
        {"real": tiny_data(9)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_a_network_depends_on_makes_it_another(change, tmp_path):
    real = change.pop("real", tiny_data())
    net = change.pop("net", network())
    if net.dtype == torch.float64:
        real = real.to("cpu", torch.float64)
    plain = NetworkPool(network(), tiny_data(), NetworkTraining(epochs=2, batch_size=8))
    seed = change.pop("seed", 0)
    other = NetworkPool(net, real, NetworkTraining(**{"epochs": 2, "batch_size": 8, **change}), seed)
    keys = {plain._key(0), plain._key(1), other._key(0), other._key(1)}
    assert len(keys) == 4


def test_two_sources_of_a_run_share_their_networks_without_a_cache(fits):
    one, other = source(), source(mix="trained")
    assert len(fits) == 2
    assert all(a is b for a, b in zip(one._pool, other._pool, strict=True))
    assert one.spent == other.spent


def test_trained_weights_are_looked_through_as_they_are_and_the_same_network_at_each_step():
    between, trained = source(), source(mix="trained")
    ends = [found.state for found in trained._pool]
    chosen = []
    for middle, end in zip(states(between, 8), states(trained, 8), strict=True):
        number = [same(end, candidate) for candidate in ends].index(True)
        found = trained._pool[number]
        name = trained.context.network.parameter_names[0]
        share = (middle[name] - found.state[name]) / (found.start[name] - found.state[name])
        torch.testing.assert_close(share, share.flatten()[0].expand_as(share), rtol=1e-2, atol=1e-3)
        assert -1e-3 < share.mean() < 1 + 1e-3
        chosen.append((number, round(float(share.mean()), 2)))
    assert {number for number, _ in chosen} == {0, 1}
    assert len({share for _, share in chosen}) > 4


@pytest.mark.parametrize(("share", "end"), [(0.0, "state"), (1.0, "start")])
def test_interpolation_ends_at_start_and_trained_weights(share, end, monkeypatch):
    made = source()
    monkeypatch.setattr(torch, "rand", lambda *size, generator: torch.tensor([share]))
    weights = made.context.network.parameter_names
    found = states(made, 1)[0]
    assert any(
        all(torch.allclose(found[name], getattr(trained, end)[name]) for name in weights) for trained in made._pool
    )


def test_the_next_seed_looks_through_other_networks():
    def first(seed):
        return torch.cat([value.flatten() for value in states(source(seed=seed), 1)[0].values()])

    assert not torch.equal(first(0), first(1))
    assert torch.equal(first(1), first(1))


def test_a_draw_serves_as_many_steps_as_asked():
    made = source(outer=3)
    assert made.num_outer == 3
    seen = [made.state(StepContext(step // 3, step % 3, 3, step)) for step in range(4)]
    assert same(seen[0], seen[2]) and not same(seen[2], seen[3])


def test_batch_norm_statistics_of_the_pool_are_nobodys_to_change():
    made = source(net=network("convnet-d1-w4-bn"), mix="trained")
    before = [{name: value.clone() for name, value in trained.state.items()} for trained in made._pool]
    net = made.context.network
    for state in states(made):
        net(state, torch.randn(4, *SPEC.shape, generator=generator(0, "images")), train=True)
    assert all(same(trained.state, kept) for trained, kept in zip(made._pool, before, strict=True))


def test_training_goes_on_with_the_network_it_was_stopped_in(fits, forget, tmp_path):
    class Stop(Exception):
        pass

    def stop(finished, epochs):
        if finished == 3:
            raise Stop

    with pytest.raises(Stop):
        source(tmp_path, networks=3, on_epoch=stop)
    assert len(fits) == 2
    forget()
    news = []
    made = source(tmp_path, networks=3, on_epoch=lambda *told: news.append(told))
    assert len(fits) == 4
    assert news == [(3, 6), (4, 6), (5, 6), (6, 6)]
    forget()
    assert all(same(a.state, b.state) for a, b in zip(made._pool, source(networks=3)._pool, strict=True))


def test_a_damaged_file_is_trained_anew(fits, forget, tmp_path):
    good = source(tmp_path, networks=1)._pool[0].state
    (file,) = (tmp_path / "networks").iterdir()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    for damaged in (bytes(content), b"", bytes(content[:100])):
        forget()
        file.write_bytes(damaged)
        before = len(fits)
        assert same(source(tmp_path, networks=1)._pool[0].state, good)
        assert len(fits) == before + 1
    forget()
    source(tmp_path, networks=1)
    assert len(fits) == before + 1


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "networks").write_text("in the way")
    assert len(source(tmp_path)._pool) == 2


def test_they_learn_from_as_many_images_as_asked(fits):
    source(networks=1, images=12)
    data = fits[0]["data"]
    assert len(data) == 12
    whole = tiny_data()
    distances = (data.images[:, None].float() - whole.images[None].float()).flatten(2).abs().sum(2)
    assert len(set(distances.argmin(1).tolist())) == 12 and distances.min(1).values.max() == 0
    source(networks=1, images=10**6, seed=2)
    assert len(fits[1]["data"]) == len(whole)


def test_what_cannot_be_is_refused_in_one_line():
    with pytest.raises(DivergenceError, match=r"'convnet-d1-w4-in' diverged.*--set source.lr=1e\+06"):
        source(lr=1e7, momentum=0.9)
    made = registry().create("network_sources", "pool")
    context = SourceContext(network(), 1, Generators(0), None, lambda: None, None, None)
    with pytest.raises(UsageError, match="'pool' trains networks on real images, and this run has none"):
        made.prepare(context)
    with pytest.raises(UsageError, match="unknown augmentation 'dsaa'"):
        source(augmentation={"name": "dsaa"})


def tiny_run(seed=0, ipc=1, steps=2, **matcher):
    settings = {
        "network": "convnet-d1-w4-in",
        "data": {"name": "digits", "max_per_class": 20, "batch_real": 4},
        "source": {"networks": 2, "epochs": 1},
        "budget": {"iterations": None, "steps": steps},
        "evaluation": {"networks": 0},
        "matcher": matcher,
        "execution": {"device": "cpu", "threads": 1},
        "seed": seed,
        "ipc": ipc,
    }
    return configure("ncfm", None, "small", settings)


def test_a_run_trains_one_pool_and_tells_what_it_took_and_later_runs_train_none(fits, forget, tmp_path):
    first = run(tiny_run(), cache=tmp_path).synthetic
    assert len(fits) == 2
    forget()
    second = run(tiny_run(ipc=2), cache=tmp_path).synthetic
    assert len(fits) == 2
    spent = [made.provenance["features_seconds"] for made in (first, second)]
    assert 0 < spent[0] == spent[1]
    assert spent[0] == pytest.approx(sum(_seconds(tmp_path)), abs=2e-3)


def _seconds(cache):
    files = (cache / "networks").iterdir()
    return [float(unsealed(file.read_bytes())[1]["seconds"]) for file in files]


def test_a_run_that_learns_frequencies_continues_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr("limbeck.report.write_report", lambda folder: None)
    learned = {"sampling": "learned", "frequencies": 32}
    long = run(tiny_run(steps=5, **learned), cache=tmp_path / "cache")
    run(tiny_run(steps=3, **learned), folder=tmp_path / "parts", cache=tmp_path / "cache")
    config = resumed_config(tmp_path / "parts", {"budget": {"steps": 5}})
    parts = run(config, folder=tmp_path / "parts", resume=True, cache=tmp_path / "cache")
    assert torch.equal(parts.synthetic.images, long.synthetic.images)
    fixed = run(tiny_run(steps=5, frequencies=32), cache=tmp_path / "cache")
    assert not torch.equal(fixed.synthetic.images, long.synthetic.images)


def test_context_tells_the_images_a_pass_may_take(fits):
    made = registry().create("network_sources", {"name": "pool", **OPTIONS})
    context = SourceContext(network(), 1, Generators(0), tiny_data(), lambda: None, None, None, lambda: 3)
    made.prepare(replace(context))
    assert [call["chunk"] for call in fits] == [3, 3]
