"""What memories are called."""

from __future__ import annotations

import pytest

from limbeck_applications.continual.memory.distiller import MemorySpec
from limbeck_applications.continual.study.asked import StudySettings
from limbeck_applications.continual.written import memory


def named(*texts):
    return StudySettings(memories=[memory(text) for text in texts]).memory_names


@pytest.mark.parametrize(
    ("text", "short", "full"),
    [
        ("dm", "dm", "dm"),
        ("dm:storage=uint8,profile=small", "dm", "dm"),
        ("dm:steps=500", "dm", "dm 500 steps"),
        ("dm:seconds=15", "dm", "dm 15 s"),
        ("dm:seconds=0.5,steps=3,ipc=10,storage=float32", "dm 10 float32", "dm 10 float32 0.5 s 3 steps"),
        ("dm:optimiser.lr_img=1", "dm lr_img=1", "dm optimiser.lr_img=1"),
        ("dm:labels={name: learned},a.on=true", "dm labels=learned on=true", "dm labels.name=learned a.on=true"),
    ],
)  # fmt: skip
def test_a_memory_is_called_by_what_is_not_its_default(text, short, full):
    spec = MemorySpec.model_validate(memory(text))
    assert (spec.name, spec.full_name) == (short, full)


def test_a_name_is_as_short_as_its_study_allows():
    assert named("dm:steps=100", "random") == ("dm", "random")
    assert named("dm:steps=100", "random", "dm:steps=500") == ("dm 100 steps", "random", "dm 500 steps")
    assert named("dm", "dm:seconds=15", "dm:storage=float32") == ("dm", "dm 15 s", "dm float32")
    assert named("dm:labels.lr=1", "dm:optimiser.lr=1") == ("dm labels.lr=1", "dm optimiser.lr=1")
    assert named("dm", "dm:storage=uint8") == ("dm", "dm")
