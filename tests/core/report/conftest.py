"""Run folders as a distillation leaves them, with real digits and made-up figures."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from limbeck.config import build
from limbeck.data import DataSpec
from limbeck.data.whitening import Whitening
from limbeck.evaluation.recipe import Recipe
from limbeck.evaluation.rows import Evaluation, save_rows
from limbeck.report import write_report
from limbeck.synthetic import SyntheticSet

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ENVIRONMENT = {
    "limbeck": "0.1.0",
    "torch": "2.15.0",
    "python": "3.11.9",
    "platform": "Linux",
    "cpu": "two cores",
    "device": "cpu",
    "plugins": [{"name": "mine", "version": "0.2"}],
}
PLAN = {"device": "cpu", "chunks": {"real": 256, "synthetic": 64}, "precision": "float32", "memory": None}
REFERENCE = {"accuracy": 91.7, "std": 0.5, "source": "Table 1 of arXiv:2006.05929"}


@pytest.fixture(scope="session")
def digits():
    """Images in [0, 1], [N, 1, 8, 8], and labels [N]."""
    bunch = load_digits()
    return torch.tensor(bunch.images / 16).float()[:, None], torch.tensor(bunch.target)


def spec_of(images, names, data):
    channels = images.shape[1]
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3))
    statistics = tuple(mean.tolist()), tuple(std.tolist())
    return DataSpec(data, tuple(images.shape[1:]), len(names), names, *statistics, channels > 1)


def evaluation(label, mean, *, images, classes, networks=5, epochs=301, protocol="dc", seed=0):
    generator = torch.Generator().manual_seed(seed)
    accuracies = (mean + 0.006 * torch.randn(networks, generator=generator)).clamp(0, 1).tolist()
    per_class = (mean + 0.04 * torch.randn(classes, generator=generator)).clamp(0, 1).tolist()
    recipe = Recipe(network="convnet-d2-w32-in", epochs=epochs, augmentation={"name": "dsa"}).to_dict()
    return Evaluation(label, protocol, recipe, accuracies, per_class, images * 65, images, 12.5)


def evaluations(images, classes):
    size = {"images": images, "classes": classes}
    return [
        evaluation("synthetic", 0.967, **size),
        evaluation("random", 0.931, **size, seed=1),
        evaluation("random_bytes", 0.958, images=4 * images, classes=classes, seed=2),
        evaluation("whole", 0.985, images=1437, classes=classes, epochs=30, protocol="whole", seed=3),
    ]


def choose(labels, classes, ipc):
    return torch.cat([(labels == k).nonzero()[:ipc, 0] for k in range(classes)])


@pytest.fixture(scope="session")
def make_run(digits):
    """Write a run folder; each argument leaves out or changes one thing."""

    def make(
        folder,
        *,
        ipc=10,
        data=None,
        names=NAMES,
        name="digits",
        config=True,
        initial=True,
        steps=400,
        rows=True,
        selects=False,
        reference=None,
        deviations=(),
        method="dm",
        whitened=False,
        provenance=(),
    ):
        pixels, labels = data or digits
        spec = spec_of(pixels, names, name)
        if whitened:
            spec = replace(spec, whitening=Whitening.fit(pixels))
        index = choose(labels, len(names), ipc)
        mean, std = spec.statistics()
        start, group = (pixels[index] - mean) / std, labels[index]
        means = torch.stack([pixels[labels == k].mean(0) for k in range(len(names))])
        end = start if selects else start + 0.6 * ((means[group] - mean) / std)
        recipe = {"network": "convnet-d2-w32-in", "epochs": 301, "augmentation": {"name": "dsa"}}
        said = {"method": method, "seed": 0, "deviations": list(deviations), **dict(provenance)}
        SyntheticSet(end, group, group, spec, recipe=recipe, provenance=said).save(folder)
        if config:
            parts = {"selector": "random"} if selects else {"matcher": "distribution", "source": "fresh"}
            settings = {"method": method, "data": name, "ipc": ipc, "network": "convnet-d2-w32-in", **parts}
            (folder / "config.yaml").write_text(build(settings, {"reference": reference}).to_yaml())
            (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
            (folder / "plan.json").write_text(json.dumps(PLAN))
        if initial and not selects:
            save_file({"images": start, "group": group}, folder / "initial.safetensors")
        if steps and not selects:
            (folder / "log.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in losses(steps)))
        if rows:
            save_rows(folder, evaluations(len(end), len(names)))
        return folder

    return make


def losses(steps):
    """A falling, noisy loss, written in lots of ten that share their seconds."""
    noise = torch.randn(steps, generator=torch.Generator().manual_seed(0)).tolist()
    falling = [90 * math.exp(-step / 60) + 0.4 for step in range(steps)]
    return [
        {"step": step, "loss": loss * math.exp(0.2 * noise[step]), "seconds": 0.011 * 10 * (step // 10 + 1)}
        for step, loss in enumerate(falling)
    ]


VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """Elements in order, text, and a check that every element is closed where it should be."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text()
        self.elements, self.open, self.words, self.scripts = [], [], [], []
        self.feed(self.source)
        self.close()
        assert not self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def read():
    """Write the page of a run folder and read it."""
    return lambda folder: Page(write_report(folder))


@pytest.fixture
def page(make_run, tmp_path, read):
    """Make a run folder, as ``make_run`` does, and read its page."""
    return lambda **changes: read(make_run(tmp_path / "run", **changes))
