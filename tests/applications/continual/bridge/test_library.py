import subprocess
import sys
import warnings

import pytest

from limbeck.errors import MissingExtraError
from limbeck_applications.continual.bridge.library import PARTS, avalanche, unheard


def test_its_parts_are_there_without_a_further_import():
    library = avalanche()
    assert library.training.storage_policy.ExemplarsBuffer
    assert library.training.plugins.ReplayPlugin
    assert library.benchmarks.utils.data_loader.ReplayDataLoader


def test_the_filters_stay_as_they_were():
    before = list(warnings.filters)
    avalanche()
    assert warnings.filters == before


def test_without_it_the_message_says_what_to_install(monkeypatch):
    for part in PARTS:
        monkeypatch.setitem(sys.modules, f"avalanche.{part}", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'limbeck\[continual\]'"):
        avalanche()


def test_naming_the_application_imports_neither_torch_nor_avalanche():
    code = (
        "import sys, limbeck_applications.continual;"
        "sys.exit(sum(name in sys.modules for name in ('torch', 'avalanche')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_of_the_application_is_an_ordinary_error():
    import limbeck_applications.continual as continual

    with pytest.raises(AttributeError, match="Distiled"):
        _ = continual.Distiled


class Policy:
    """What the announcement of ``update`` needs."""

    experience = None


def announcing():
    """A storage policy whose ``update`` Avalanche announces to remove, and which warns by itself."""
    library = avalanche()

    class Buffer(library.training.storage_policy.ExemplarsBuffer):
        def resize(self, strategy, new_size): ...

        def post_adapt(self, agent_state, exp):
            warnings.warn("of my own", stacklevel=2)

    return Buffer(1)


def test_announcements_are_not_heard_and_the_filters_are_put_back(recwarn):
    before = list(warnings.filters)
    with unheard():
        avalanche().training.storage_policy.ReservoirSamplingBuffer.update(announcing_nothing(), Policy)
    assert warnings.filters == before
    assert not recwarn


def announcing_nothing():
    buffer = announcing()
    buffer.post_adapt = lambda agent_state, exp: None
    return buffer


def test_other_warnings_are_heard():
    with pytest.warns(UserWarning, match="of my own"), unheard():
        announcing().update(Policy)
