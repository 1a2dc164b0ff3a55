"""What a run says to type trains just the experts that it follows."""

import shlex

import pytest

from limbeck.cli.experts import asked_for
from limbeck.config import assignments, merge
from limbeck.configure import configure
from limbeck.experts import ExpertOptions
from limbeck.experts.command import train_command
from limbeck.plugins import registry

FASHION = {"name": "fashion_mnist", "max_per_class": 100}


def understood(typed):
    """Return what 'limbeck experts train' makes of a line."""
    words = shlex.split(typed)
    assert words[:3] == ["limbeck", "experts", "train"]
    options, pairs = {}, []
    for name, value in zip(words[3::2], words[4::2], strict=True):
        pairs.append(value) if name == "--set" else options.__setitem__(name, value)
    settings = assignments(pairs)
    if "--data" in options:
        settings = merge({"data": {"name": options["--data"]}}, settings)
    for name, key in (("--network", "network"), ("--ipc", "ipc"), ("--seed", "seed")):
        if name in options:
            settings[key] = int(options[name]) if key != "network" else options[name]
    return asked_for(options.get("--method"), options.get("--profile"), settings)


@pytest.mark.parametrize("method", ["mtt", "tesla", "datm", "fyi_mtt", None])
@pytest.mark.parametrize("profile", ["published", "small"])
@pytest.mark.parametrize(
    "settings",
    [
        {"data": {"name": "cifar10"}, "ipc": 10},
        {"data": {"name": "cifar100", "preprocessing": "zca"}, "ipc": 50, "source": {"epochs": 60, "experts": 7}},
        {
            "data": FASHION,
            "seed": 3,
            "network": "convnet-d2-w8-in",
            "matcher": {"steps": 3},
            "optimiser": {"lr_img": 2.0},
        },
        {"data": {"name": "folder", "path": "my photos", "size": 64}, "source": {"augmentation": None, "seed": 4}},
        {"source": {"augmentation": {"name": "dsa", "strategy": "crop"}, "path": "a b", "sharpness": 0.02}},
    ],
)
def test_the_line_trains_what_the_run_follows(method, profile, settings):
    if method is None:
        settings = {"matcher": "distribution", "source": {"name": "experts", **settings.get("source", {})}} | {
            key: value for key, value in settings.items() if key not in ("matcher", "source")
        }
    config = configure(method, None, profile, settings)
    found, options = understood(train_command(config))
    followed = registry().create("network_sources", config.source.model_dump()).options
    assert isinstance(options, ExpertOptions) and options == followed
    assert found.network == config.network and found.data.source() == config.data.source()
    if "max_per_class" in settings.get("data", {}):
        assert found.seed == config.seed == 3


def test_the_line_is_no_longer_than_it_must_be():
    config = configure("mtt", None, "small", {"data": {"name": "fashion_mnist"}, "seed": 2, "budget": {"steps": 9}})
    assert train_command(config) == "limbeck experts train --method mtt --data fashion_mnist --profile small"
    trained = configure("mtt", None, "small", {"source": {"train": True}, "execution": {"device": "cpu"}, "ipc": 10})
    assert (
        train_command(trained)
        == "limbeck experts train --method mtt --data digits --ipc 10 --profile small --device cpu"
    )
