"""Published settings of whole studies, as data: ``--protocol dm`` and ``--protocol one_per_class``.

``dm``: Zhao, Bilen: Dataset Condensation with Distribution Matching, arXiv:2110.04181, section 4.3; public code
VICO-UoE/DatasetCondensation (MIT), CL_DM.py.
``one_per_class``: Rosasco et al.: Distilled Replay: Overcoming Forgetting through Synthetic Samples, arXiv:2103.15851;
public code andrearosasco/DistilledReplay (MIT), config_dr.py of its experiments.
What cannot be set, and so always differs, stands among ``differs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from limbeck.config import flatten, merge
from limbeck.errors import unknown_name
from limbeck.options import parse
from limbeck.plugins import registry
from limbeck_applications.continual.memory.distiller import written
from limbeck_applications.continual.stream import ContinualBenchmark
from limbeck_applications.continual.study.asked import StudySettings


@dataclass(frozen=True)
class Protocol:
    """Settings of a paper.

    Attributes:
        settings: of a study, on the benchmark of the paper's own experiment.
        elsewhere: settings over them by another benchmark that the paper has.
        differs: what is not as it was published, whatever is asked for.
    """

    settings: Mapping[str, Any]
    elsewhere: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    differs: tuple[str, ...] = ()


PROTOCOLS: dict[str, Protocol] = {
    "dm": Protocol(
        settings={
            "benchmark": {"name": "split_cifar100"},  # 5 parts, class orders of seeds 0 to 4
            "strategies": ["distilled_gdumb"],
            "memories": [
                {"method": "random", "ipc": 20},
                {"method": "herding", "ipc": 20},
                {"method": "dm", "ipc": 20, "profile": "published"},
            ],
            "images": 20,
            "grows": True,
            "orders": 5,
            "seeds": 3,
            "network": "convnet-d3-w128-in",
            "retraining": {
                "epochs": 1001,  # the public loop makes one pass more than it is asked for; its rate falls after 502
                "lr": 0.01,
                "momentum": 0.9,
                "weight_decay": 0.0005,
                "batch_size": 256,
                "augmentation": {"name": "dsa", "strategy": "color_crop_cutout_flip_scale_rotate"},
            },
        },
        elsewhere={"split_cifar100-10": {}},
        differs=(
            "distilled images are kept as 8-bit pixels, published as float32: storage=float32 with --images 80 keeps "
            "those",
            "herding looks through a network trained on the images of each experience; the published images were made "
            "beforehand, how is not stated",
        ),
    ),
    "one_per_class": Protocol(
        settings={
            "benchmark": {"name": "split_fashion_mnist", "class_order": "distilled_replay"},
            "strategies": ["naive", "replay_balanced", "distilled_replay", "joint"],
            "memories": [{"method": "dm", "ipc": 1}],
            "images": 1,
            "grows": True,
            "orders": 1,
            "seeds": 1,
            "network": "lenet",
            "training": {
                "epochs": 80,  # as many as the updates may need
                "iterations": 80,
                "lr": 0.05,
                "momentum": 0.0,
                "weight_decay": 0.0,
                "batch_size": 128,
                "memory_batch": 10,  # all of it in every update
            },
        },
        elsewhere={
            "split_mnist": {"benchmark": {"class_order": "natural"}},
            "split_cifar10": {
                "benchmark": {"class_order": "natural"},
                "training": {"iterations": 40, "batch_size": 1024},
            },
            "permuted_mnist": {
                "benchmark": {"experiences": 10},
                "network": "mlp",
                "training": {"epochs": 3, "iterations": None, "memory_batch": 100},
            },
        },
        differs=(
            "the memory is distilled by the method that --memory names, published by differentiating 30 updates of a "
            "network that starts at random",
            "LeNet has rectified units, max pooling and PyTorch's first weights, published tanh, average pooling and "
            "Xavier's; it pads 28x28 images with zeros after normalising, published before",
            "images are normalised with the statistics of their data set, published with MNIST's",
        ),
    ),
}


def preset(name: str, benchmark: str = "") -> dict[str, Any]:
    """Return a protocol's settings, as fields of ``StudySettings``.

    Args:
        name: ``dm`` or ``one_per_class``.
        benchmark: the benchmark asked for in place of the protocol's own.

    Raises:
        UnknownNameError: there is no such protocol.
    """
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS)
    found = PROTOCOLS[name]
    settings = {**found.settings, "protocol": name}
    if benchmark and benchmark != settings["benchmark"]["name"]:
        settings = merge({**settings, "benchmark": {"name": benchmark}}, found.elsewhere.get(benchmark, {}))
    return settings


NOT_COMPARED = ("protocol", "strategies", "device", "executor", "retraining.networks_a_call")


def deviations(settings: StudySettings) -> tuple[str, ...]:
    """Say in what a study differs from the protocol it names: first what always does, then what was asked for."""
    if not settings.protocol:
        return ()
    found = PROTOCOLS[settings.protocol]
    own = found.settings["benchmark"]["name"]
    stream = _stream(settings)
    published = [_published(settings.protocol, name) for name in (own, *found.elsewhere)]
    same = [each for each in published if isinstance(_stream(each), type(stream))]
    near = same or [_published(settings.protocol, settings.benchmark.name)]
    moved = [] if same else [f"benchmark: {own} -> {settings.benchmark.name}"]
    return (*found.differs, *moved, *min((_changed(each, settings) for each in near), key=len))


def _published(name: str, benchmark: str) -> StudySettings:
    return parse(StudySettings, preset(name, benchmark), "")


def _stream(settings: StudySettings) -> ContinualBenchmark:
    made: ContinualBenchmark = registry().create("continual_benchmarks", settings.benchmark.model_dump())
    return made


def _changed(published: StudySettings, settings: StudySettings) -> list[str]:
    old, new = _compared(published), _compared(settings)
    return [
        f"{key}: {written(old.get(key))} -> {written(new.get(key))}"
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key)
    ]


def _compared(settings: StudySettings) -> dict[str, Any]:
    """Return what counts: of the benchmark all its options, typed or not; of a memory all that is not its default."""
    values = settings.model_dump(mode="json")
    values["benchmark"] = _stream(settings).options.model_dump(mode="json")
    values["memories"] = ", ".join(sorted(memory.full_name for memory in settings.memories)) or None
    left_out = tuple(f"{key}." for key in NOT_COMPARED)
    return {key: value for key, value in flatten(values).items() if not f"{key}.".startswith(left_out)}
