"""Memories as they are typed on one line."""

from __future__ import annotations

import pytest

from limbeck.errors import UsageError
from limbeck_applications.continual.written import memory


def test_a_memorys_dotted_options_are_settings_of_its_run():
    assert memory("dm:ipc=10,storage=uint8,optimiser.lr_img=1,optimiser.momentum=0.9") == {
        "method": "dm",
        "ipc": 10,
        "storage": "uint8",
        "settings": {"optimiser": {"lr_img": 1, "momentum": 0.9}},
    }
    assert memory("dm:labels={name: learned},settings.matcher.p=1") == {
        "method": "dm",
        "settings": {"matcher": {"p": 1}, "labels": {"name": "learned"}},
    }
    assert memory("random") == {"method": "random"}


@pytest.mark.parametrize(("text", "option"), [("dm:method=random", "method"), ("dm:name=random", "name")])
def test_nor_is_the_method_of_a_memory(text, option):
    with pytest.raises(UsageError, match=rf"^--memory '{text}': '{option}' is no option") as refused:
        memory(text)
    assert "\n" not in str(refused.value)
