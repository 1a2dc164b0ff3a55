"""The script of the page about Avalanche, as it stands there."""

import contextlib
import io
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("one_thread")
PAGE = (Path(__file__).parents[4] / "docs/continual-avalanche.md").read_text()
BLOCKS = [match[1] for match in re.finditer(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)]


@pytest.fixture(scope="module")
def script():
    """What the first two blocks leave behind."""
    names = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()):
        for block in BLOCKS[:2]:
            exec(compile(block, "<documentation>", "exec"), names)
    return names


def value(results, start):
    return next(value for name, value in results.items() if name.startswith(start))


@pytest.mark.parametrize("world", ["of_pairs", "of_triples"])
def test_the_script_learns_all_classes_and_tells_what_was_forgotten(script, world):
    assert value(script[world], "Top1_Acc_Stream/eval_phase/test_stream") > 0.7
    assert 0 <= value(script[world], "StreamForgetting/eval_phase/test_stream") < 0.4


def test_without_the_three_lines_the_script_forgets_nearly_everything(script):
    plain = BLOCKS[0].replace("plugins=[replay]", "plugins=[]")
    assert plain != BLOCKS[0]
    names = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(plain, "<documentation>", "exec"), names)
        found = names["learn"](script["pairs"])
    assert value(found, "StreamForgetting") > 0.9


def test_three_lines_are_marked():
    assert [line.split("# ")[-1] for line in BLOCKS[0].splitlines() if re.search(r"  # \d$", line)] == ["1", "2", "3"]


def test_no_class_of_the_script_is_dropped(script):
    for name in ("pairs", "triples"):
        stream = script[name].train_stream
        assert sorted(c for experience in stream for c in experience.classes_in_this_experience) == list(range(10))
    assert len(script["pairs"].train_stream) == 3
    assert [len(script[name].train_stream[0].dataset[0]) for name in ("pairs", "triples")] == [2, 3]
