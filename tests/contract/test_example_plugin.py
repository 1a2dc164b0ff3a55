"""The example plugin installs with pip and takes part in everything, like any third party's."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from limbeck import SyntheticSet
from limbeck.data import DataSpec

EXAMPLE = Path(__file__).parents[2] / "examples" / "limbeck-example-plugin"
MEDIAN = (EXAMPLE / "README.md").read_text().partition("```python\n")[2].partition("```")[0]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None, reason="building the example needs hatchling (make dev)"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install the example into a folder of its own, without a network."""
    folder = tmp_path_factory.mktemp("example")
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), str(EXAMPLE)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture(scope="module")
def limbeck(installed):
    """Run the command line in a process that sees the installed example."""

    def run(*arguments, status=0, **environment):
        code = "import sys; from limbeck.cli import main; sys.exit(main())"
        finished = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(installed), **environment},
        )
        assert finished.returncode == status, finished.stderr
        return finished

    return run


@pytest.fixture
def example(installed, monkeypatch):
    """Make the example's modules importable here."""
    monkeypatch.syspath_prepend(str(installed))


@pytest.fixture
def artifact(tmp_path):
    images = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6) // 2
    spec = DataSpec("toy", (1, 4, 4), 3, ("a", "b", "c"), (0.5,), (0.25,), mirror=False)
    synthetic = SyntheticSet(images, labels, labels, spec, space="unit")
    synthetic.save(tmp_path / "set")
    return tmp_path / "set", images


def test_it_is_listed_with_its_provenance(limbeck):
    listed = json.loads(limbeck("plugins", "--json").stdout)
    [plugin] = [p for p in listed["plugins"] if p["distribution"] == "limbeck-example-plugin"]
    assert listed["failures"] == []
    assert plugin["version"] == "0.1.0"
    assert set(plugin["kinds"]) == {
        "applications",
        "commands",
        "continual_benchmarks",
        "continual_strategies",
        "image_measures",
        "label_projectors",
        "matchers",
        "nas_proxies",
        "nas_spaces",
    }
    for kind, name in [
        ("matchers", "moments"),
        ("label_projectors", "smooth"),
        ("applications", "example_measures"),
    ]:
        entries = {entry["name"]: entry for entry in json.loads(limbeck("list", kind, "--json").stdout)}
        assert entries[name]["provider"] == "limbeck-example-plugin 0.1.0"


def test_its_command_and_its_kind_are_first_class(limbeck):
    finished = limbeck("--help")
    assert "example-measure" in finished.stdout.partition("Commands of plugins:")[2]
    assert [e["name"] for e in json.loads(limbeck("list", "image_measures", "--json").stdout)] == [
        "brightness",
        "contrast",
    ]
    assert "image_measures" in limbeck("list").stdout


def test_its_matcher_explains_itself(limbeck):
    out = limbeck("show", "matcher", "moments").stdout
    assert "starts from the method: dm" in out
    assert "weight  float  0.1      >= 0" in out


def test_it_keeps_what_its_kinds_promise(limbeck):
    out = limbeck("plugins", "check", "limbeck-example-plugin").stdout
    names = [
        "application example_measures",
        "command example-measure",
        "continual benchmark rotated_digits",
        "continual strategy mean_image",
        "image measure contrast",
        "matcher moments",
        "nas proxy separation",
        "nas space pyramids",
    ]
    assert all(f"\n{name} " in out for name in names)
    checks = json.loads(limbeck("plugins", "check", "image_measures/contrast", "--json").stdout)
    own = "It gives one finite number for each image, which does not depend on the others"
    assert own in [check["check"] for check in checks]  # from the package that declares the kind


def test_it_can_be_left_out(limbeck):
    assert json.loads(limbeck("plugins", "--json", LIMBECK_PLUGINS="").stdout)["skipped"] == ["limbeck-example-plugin"]
    finished = limbeck("example-measure", "x", status=2, LIMBECK_PLUGINS="")
    assert "LIMBECK_PLUGINS leaves out: limbeck-example-plugin" in finished.stderr


def test_its_command_measures_a_synthetic_set_with_another_plugins_measure(limbeck, artifact, tmp_path):
    """The file that its README shows fills the kind that the example declares."""
    folder, images = artifact
    (tmp_path / "median.py").write_text(MEDIAN)
    finished = limbeck("-p", tmp_path / "median.py", "example-measure", folder, "--measure", "median")
    assert finished.stderr == ""
    expected = images.flatten(1).median(1).values.view(3, 2).mean(1)
    measured = [line.split() for line in finished.stdout.splitlines()]
    assert [label for label, _ in measured] == ["a", "b", "c"]
    torch.testing.assert_close(torch.tensor([float(v) for _, v in measured]), expected, atol=1e-4, rtol=0)


def test_its_kind_names_what_it_has(limbeck):
    finished = limbeck("show", "image-measure", "brightnes", status=2)
    assert "unknown image measure 'brightnes'. Did you mean 'brightness'?" in finished.stderr


def test_it_takes_part_in_a_distillation(limbeck, tmp_path):
    """Its matcher distils, its projector labels, and both are named in the manifest."""
    settings = [
        "matcher.weight=0.3",
        "labels.name=smooth",
        "labels.epsilon=0.2",
        "evaluation.baselines=false",
        "evaluation.protocol.epochs=1",
    ]
    run = ["--matcher", "moments", "--profile", "small", "--network", "convnet-d1-w4-in", "--device", "cpu"]
    small = ["--steps", "3", "--networks", "1", "--max-per-class", "12"]
    pairs = [part for setting in settings for part in ("--set", setting)]
    folder = tmp_path / "run"
    limbeck("distill", *run, *small, *pairs, "--out", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    used = {(part["kind"], part["name"]): part for part in manifest["provenance"]["plugins"]}
    for part in [("matchers", "moments"), ("label_projectors", "smooth")]:
        assert used[part]["distribution"] == "limbeck-example-plugin"
        assert used[part]["version"] == "0.1.0"
    assert manifest["recipe"]["labels"] == {"name": "smooth", "epsilon": 0.2}
    assert manifest["provenance"]["settings"]["matcher"] == {"name": "moments", "weight": 0.3}


def test_moments_are_zero_at_equal_statistics_and_only_there(example):
    from limbeck_example.matcher import Moments

    from limbeck.matching import StepContext

    matcher = Moments()
    step = StepContext(0, 0, 1, 0)
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(8, 5, generator=generator, dtype=torch.float64)

    def moments(rows):
        return {key: value.mean(0) for key, value in matcher.signal({"embedding": rows}).items()}

    def discrepancy(rows):
        return float(matcher.discrepancy(moments(rows), moments(embedding), step))

    assert discrepancy(embedding.flip(0)) == pytest.approx(0, abs=1e-20)
    assert discrepancy(embedding + 1) == pytest.approx(5)  # means move by 1 in 5 coordinates, variances not at all
    variance = embedding.var(0, unbiased=False)
    doubled = embedding.mean(0) + 2 * (embedding - embedding.mean(0))
    assert discrepancy(doubled) == pytest.approx(0.1 * float((3 * variance).square().sum()))


@pytest.mark.parametrize("kind", ["hard", "logits", "probabilities"])
def test_smooth_labels_are_probabilities_around_the_stored_ones(example, kind):
    from limbeck_example.labels import SmoothLabels

    from limbeck.synthetic import ProjectorContext

    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    stored = {"hard": torch.arange(6) // 2, "logits": logits, "probabilities": logits.softmax(1)}[kind]
    spec = DataSpec("toy", (1, 4, 4), 3, ("a", "b", "c"), (0.5,), (0.25,), mirror=False)
    context = ProjectorContext(None, spec, lambda name: None, 0, torch.device("cpu"), stored, kind)
    given = {}
    for epsilon in (0.0, 0.3):
        projector = SmoothLabels(SmoothLabels.Options(epsilon=epsilon))
        projector.prepare(context)
        given[epsilon] = projector.labels(torch.empty(6), torch.arange(6), 0, None)
    plain = torch.eye(3)[stored] if kind == "hard" else logits.softmax(1)
    torch.testing.assert_close(given[0.0], plain)
    torch.testing.assert_close(given[0.3], 0.7 * plain + 0.1)
    torch.testing.assert_close(given[0.3].sum(1), torch.ones(6))


def test_its_strategy_learns_its_stream(limbeck, tmp_path):
    """Kinds of an application that ships, filled by a third party, run by name from the command line."""
    chosen = ["--benchmark", "rotated_digits", "--strategies", "mean_image", "--orders", "2", "--device", "cpu"]
    limbeck("continual", "run", *chosen, "--out", tmp_path / "study")
    rows = [json.loads(line) for line in (tmp_path / "study" / "rows.jsonl").read_text().splitlines()]
    assert [(row["strategy"], row["order"], row["experience"]) for row in rows] == [
        ("mean_image", order, experience) for order in range(2) for experience in range(4)
    ]
    learned = [row["row"]["accuracies"] for row in rows]
    assert all(learned[order * 4][0] > 0.8 for order in range(2))  # one turn, and its own mean images
    assert all(learned[order * 4 + 3][0] < learned[order * 4][0] for order in range(2))  # blurred by three more turns
    assert {row["row"]["bytes"] for row in rows} == {10 * 8 * 8 * 4}


def test_the_rotated_digits_are_the_digits_turned(example):
    from limbeck_example.rotated import RotatedDigits

    from limbeck.data import load_dataset

    data = load_dataset("digits", max_per_class=2)
    shown = [experience.train.images for experience in RotatedDigits().stream(data, 0).experiences]
    ways = [data.train.images.rot90(turn, (2, 3)) for turn in range(4)]
    assert sorted(next(turn for turn, way in enumerate(ways) if torch.equal(way, one)) for one in shown) == [0, 1, 2, 3]


def test_the_nearest_mean_image_by_hand(example):
    """Two classes of one pixel: means 10 and 100; 40 is nearer to the first, 60 to the second once it is seen."""
    from limbeck_example.mean_image import MeanImage

    from limbeck.data import RealData
    from limbeck_applications.continual.stream import Experience, Stream

    spec = DataSpec("toy", (1, 1, 1), 2, ("a", "b"), (0.5,), (0.25,), mirror=False)

    def real(pixels, labels):
        images = torch.tensor(pixels, dtype=torch.uint8)[:, None, None, None]
        return RealData(images, torch.tensor(labels), spec)

    first = Experience((0,), real([0, 20], [0, 0]), real([40, 60], [0, 0]))
    second = Experience((1,), real([90, 110], [1, 1]), real([60, 40], [1, 1]))
    context = type("Context", (), {"device": torch.device("cpu")})()
    rows = list(MeanImage().run(Stream(spec, (first, second)), context))
    assert [row.accuracies for row in rows] == [(1.0, 0.0), (0.5, 0.5)]
    assert [row.bytes for row in rows] == [4, 8]


def test_its_proxy_ranks_its_space(limbeck, tmp_path):
    """Kinds of another application, filled by a third party, used by name from the command line."""
    chosen = ["--space", "pyramids", "--proxy", "separation:per_class=4", "--proxy", "parameters", "--device", "cpu"]
    limbeck("nas", "rank", *chosen, "--images", "40", "--validation", "20", "--out", tmp_path / "study")
    rows = [json.loads(line) for line in (tmp_path / "study" / "scores.jsonl").read_text().splitlines()]
    names = {f"{a}-{b}" for a, b in [(4, 4), (4, 8), (8, 8), (8, 16), (16, 16), (16, 32)]}
    names |= {f"{n}-{rest}" for n, rest in [(4, "4-4"), (4, "8-16"), (8, "8-8"), (8, "16-32"), (16, "16-16")]}
    names.add("16-32-64")
    for proxy in ("separation", "parameters"):
        assert {row["architecture"] for row in rows if row["proxy"] == proxy} == names
    assert all(0 <= row["value"] <= 1 for row in rows if row["proxy"] == "separation")


def test_separation_by_hand(example):
    """Means 0 and 4, each point 1 from its mean: 4 of 5 parts of the variance are between the classes."""
    from limbeck_example.separation import separation

    points = torch.tensor([[-1.0], [1.0], [3.0], [5.0]], dtype=torch.float64)
    assert separation(points, torch.tensor([7, 7, 9, 9])) == pytest.approx(4 / 5)
    assert separation(points.zero_(), torch.tensor([7, 7, 9, 9])) == 0


def test_pyramids_become_wider(example):
    from limbeck_example.pyramids import Pyramids

    space = Pyramids()
    with torch.device("meta"):
        layers = space.build(space.find("8-16-32"), (1, 8, 8), 10)
    assert [layer.out_channels for layer in layers if isinstance(layer, torch.nn.Conv2d)] == [8, 16, 32]
