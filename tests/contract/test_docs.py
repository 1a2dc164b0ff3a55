"""What the documentation shows is run, and what exists is documented.

A document is a session: its blocks run in order in one empty folder, shell as typed, Python in one namespace. A
Python or YAML block whose first line is ``# name.py`` is a file of that name. ``<!-- new folder -->`` starts a new
session; ``<!-- not run: reason -->`` before a block leaves it out, and ``<!-- files of plugins/*.md -->`` puts the
files of these documents into the folder. What stands between ``generated`` marks is what docs/generate.py writes.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import io
import json
import re
import shlex
import statistics
import subprocess
from pathlib import Path

import pytest

import limbeck
from limbeck import events
from limbeck.cli import main
from limbeck.plugins import load_installed, registry, using
from limbeck.testing import check

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
PAGES = {Path(name).stem: text for name, text in DOCUMENTS.items() if name.startswith("docs/plugins/")}
GUIDE, TUTORIAL, README = DOCUMENTS["docs/plugin-guide.md"], DOCUMENTS["docs/tutorial.md"], DOCUMENTS["README.md"]

BLOCK = re.compile(r"^(?P<left_out><!-- not run: [^\n]+ -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
FILE = re.compile(r"# ([\w-]+\.(?:py|yaml))\n")
LANGUAGES = {"sh", "python", "yaml", "toml", "text"}
NEW_FOLDER = "<!-- new folder -->"
OTHER_FILES = re.compile(r"<!-- files of (\S+) -->")
SESSIONS = {
    f"{name}-{number}": part
    for name, text in DOCUMENTS.items()
    for number, part in enumerate(text.split(NEW_FOLDER))
    if any(match["language"] in ("sh", "python") and not match["left_out"] for match in BLOCK.finditer(part))
}
DECLARED = [registry().kind(kind) for kind in registry().kinds()]
HOOKS = {
    name: list(inspect.signature(function).parameters)
    for module in dict.fromkeys(["limbeck.hookspecs", *(k.module for k in DECLARED if k.distribution == "limbeck")])
    for name, function in vars(importlib.import_module(module)).items()
    if inspect.isfunction(function) and hasattr(function, "limbeck_spec")
}
KINDS = [name.removeprefix("register_") for name in HOOKS if name.startswith("register_")]

LESS = {
    "distill": "--steps 20 --networks 1 --set evaluation.protocol.epochs=10 --set evaluation.baselines=false",
    "distill --resume": "--steps 30 --networks 1 --set evaluation.baselines=false",
    "evaluate": "--networks 1",
    "compare": "--steps 5 --networks 1 --max-per-class 20 --set evaluation.protocol.epochs=5",
    "continual run": "--network convnet-d1-w4-in --max-per-class 20 --set training.epochs=1 --set retraining.epochs=3",
}
"""What the documentation's commands are given on top, so that they have less to do."""


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Run the blocks of a document's part in a folder of its own: ``session(text)``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("limbeck.plugins._loader", functools.cache(load_installed))  # files are forgotten afterwards

    def run(text):
        namespace = {"__name__": "__main__"}
        for other in [path for pattern in OTHER_FILES.findall(text) for path in (ROOT / "docs").glob(pattern)]:
            write_files(other.read_text())
        for match in BLOCK.finditer(text):
            file = FILE.match(match["text"])
            if match["left_out"]:
                continue
            if file:
                Path(file[1]).write_text(match["text"])
            elif match["language"] == "sh":
                for line in match["text"].replace("\\\n", " ").splitlines():
                    type_in(line)
            elif match["language"] == "python":
                exec(compile(match["text"], "<documentation>", "exec"), namespace)

    return run


def type_in(line):
    """Run a line of a shell block; the command itself runs in this process, which spares its start."""
    command, *words = shlex.split(line)
    if command != "limbeck":
        subprocess.run(["bash", "-euo", "pipefail", "-c", line], capture_output=True, check=True)
        return
    resumes = " --resume" if "--resume" in words else ""
    less = LESS.get(words[0] + resumes) or LESS.get(" ".join(words[:2]), "")
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        status = main([*words, *shlex.split(less)])
    assert status == 0 and not said.getvalue(), f"{line}: {said.getvalue()}"


def files_of(text):
    """Return the files that a document shows, by name."""
    return {file[1]: m["text"] for m in BLOCK.finditer(text) if (file := FILE.match(m["text"]))}


def write_files(text):
    """Write the files that a document shows into the working folder."""
    for name, content in files_of(text).items():
        Path(name).write_text(content)


@pytest.mark.parametrize("name", SESSIONS)
def test_what_is_shown_runs(name, session):
    session(SESSIONS[name])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_block_has_a_language_the_tests_know(name):
    assert DOCUMENTS[name].count("```") == 2 * len(BLOCK.findall(DOCUMENTS[name]))
    assert {match["language"] for match in BLOCK.finditer(DOCUMENTS[name])} <= LANGUAGES


def anchors(text):
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)", DOCUMENTS[name]):
        target, _, anchor = link.partition("#")
        path = ((ROOT / name).parent / target).resolve() if target else ROOT / name
        if "://" not in link and not (path.exists() and (not anchor or anchor in anchors(path.read_text()))):
            lost.append(link)
    assert lost == []


def test_a_block_that_fails_is_found(session):
    with pytest.raises(AssertionError, match="unknown method"):
        session("```sh\nlimbeck distill --method dmm\n```\n")
    with pytest.raises(subprocess.CalledProcessError):
        session("```sh\nfalse\n```\n")
    with pytest.raises(ZeroDivisionError):
        session("```python\n1 / 0\n```\n")
    session("<!-- not run: it fails -->\n```sh\nfalse\n```\n")


# The tutorial's own matcher


def test_the_tutorials_matcher_is_short_and_beats_random_images(session):
    """The file and the command are the tutorial's; only the budget is smaller."""
    source = files_of(TUTORIAL)["mine.py"]
    assert len(source.splitlines()) <= 30
    Path("mine.py").write_text(source)
    command = next(line for line in TUTORIAL.splitlines() if line.startswith("limbeck distill -p mine.py"))
    assert main([*shlex.split(command)[1:], "--out", "run", "--steps", "60", "--networks", "0"]) == 0
    protocol = {"name": "dc", "epochs": 100}
    ours = limbeck.evaluate("run", protocol=protocol, networks=4)
    random = [limbeck.distill(method="random", profile="small", ipc=1, seed=seed) for seed in range(4)]
    theirs = [limbeck.evaluate(real, protocol=protocol, networks=1).mean for real in random]
    assert all(len(real) == ours.images for real in random)
    errors = (statistics.variance(ours.accuracies) + statistics.variance(theirs)) / 4
    assert ours.mean - statistics.fmean(theirs) > 3 * errors**0.5
    log = [json.loads(line)["loss"] for line in Path("run/log.jsonl").read_text().splitlines()]
    assert log[-1] < log[0]


def test_the_tutorials_matcher_is_unlike_those_that_ship():
    source = files_of(TUTORIAL)["mine.py"]
    name = re.search(r'register\("(\w+)"', source)[1]
    assert name not in registry().names("matchers")


# What is generated


@functools.cache
def generator():
    """Return docs/generate.py as a module; what it imports from beside it is found as when it is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs"))
        return importlib.import_module("generate")


def test_what_is_generated_is_up_to_date():
    names = generator().stale()
    assert names == [], f"{', '.join(names)}: not up to date. Type: python docs/generate.py"


def test_what_is_not_up_to_date_is_named(tmp_path):
    module = generator()
    for path, text in module.documents().items():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)
    assert module.stale(tmp_path) == []
    guide, pools = tmp_path / "docs/plugin-guide.md", tmp_path / "docs/plugins/pools.md"
    guide.write_text(guide.read_text().replace("`register_pools(register)`", "`register_pools()`"))
    pools.write_text(pools.read_text().replace("*(to be written)*", ""))
    (tmp_path / "docs/plugins/selectors.md").unlink()
    assert module.stale(tmp_path) == ["docs/plugin-guide.md", "docs/plugins/pools.md", "docs/plugins/selectors.md"]


# The plugin guide


@pytest.mark.parametrize("hook", HOOKS)
def test_the_guide_has_every_hook_with_its_arguments(hook):
    signature = f"`{hook}({', '.join(HOOKS[hook])})`"
    assert signature in GUIDE, f"docs/plugin-guide.md lacks {signature}"
    kind = hook.removeprefix("register_")
    assert kind == hook or signature in PAGES[kind], f"docs/plugins/{kind}.md lacks {signature}"


def test_the_guide_has_no_hook_that_does_not_exist():
    for text in [GUIDE, *PAGES.values()]:
        named = set(re.findall(r"`((?:register|before|after|on)_\w+)\(", text))
        assert named - set(HOOKS) == set()


def test_every_kind_has_a_page():
    assert sorted(PAGES) == sorted(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_complete(kind):
    """It has the generated parts and, written by hand, an example that offers something of its kind."""
    marks = re.findall(r"<!-- generated: (\w+) -->", PAGES[kind])
    assert marks == ["hook", "contract", "ships"]
    by_hand = re.sub(r"<!-- generated: .*?<!-- end generated -->", "", PAGES[kind], flags=re.S)
    assert f"def register_{kind}(register)" in by_hand
    assert "```python" in by_hand or kind == "applications"


@pytest.mark.parametrize(
    ("kind", "record", "says"),
    [
        ("matchers", "Trajectories", "**`weights(expert: int, epoch: int) -> Tensor`**"),
        ("matchers", "Segment", "- `start`: "),
        ("network_sources", "Trajectories", "- `epochs`: "),
        ("network_sources", "SourceContext", "- `cache`: "),
    ],
)
def test_a_page_describes_what_authors_are_handed(kind, record, says):
    """Dataclasses and protocols alike, whether a method takes them or a class holds them."""
    _, found, rest = PAGES[kind].partition(f"### `limbeck.matching.{record}`\n")
    assert found and says in rest.partition("\n#")[0]


@pytest.mark.parametrize("record", [events.RunInfo, events.EvaluationInfo, events.CheckpointInfo, events.RunResult])
def test_the_guide_names_every_field_that_hooks_are_told(record):
    [row] = [line for line in GUIDE.splitlines() if line.startswith(f"| `{record.__name__}`")]
    assert re.findall(r"`(\w+)`", row)[1:] == list(record.__dataclass_fields__)


@pytest.fixture
def examples(tmp_path):
    """The plugins that the guide shows, loaded: the registry, and ``(kind, name)`` of what they offer."""
    texts = {name: text for page in [GUIDE, *PAGES.values()] for name, text in files_of(page).items()}
    files = {name: text for name, text in texts.items() if "hookimpl" in text}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    loader = load_installed()
    loader.load_files([tmp_path / name for name in files])
    with using(loader):
        found = loader.registry
        yield found, [(k, n) for k in KINDS for n, e in found.entries(k).items() if e.distribution in files]


def test_the_guides_plugins_load_and_fill_every_kind(examples):
    found, offers = examples
    assert found.failures == []
    assert {kind for kind, _ in offers} == set(KINDS) - {"applications"}


def test_the_guides_plugins_keep_what_their_kinds_promise(examples):
    outcomes = [outcome for kind, name in examples[1] for outcome in check(kind, name)]
    failed = [f"{o.kind}/{o.name}: {o.check}: {o.reason}" for o in outcomes if o.status == "failed"]
    assert failed == []
    passed = {outcome.kind for outcome in outcomes if outcome.status == "passed"}
    assert passed == set(KINDS) - {"applications"}


@pytest.mark.parametrize(
    "word", ["LIMBECK_PLUGINS", "LIMBECK_STRICT", "`-p", "DIST:NAME", "[project.entry-points.limbeck]"]
)
def test_the_guide_says_how_plugins_are_found_and_chosen(word):
    assert word in GUIDE


# The architecture


def test_the_architecture_names_every_room():
    rooms = DOCUMENTS["docs/architecture.md"].partition("```text\n")[2].partition("```")[0]
    places = [path for path in (ROOT / "core" / "limbeck").iterdir() if not path.name.startswith((".", "_"))]
    names = [f"{path.name}/" if path.is_dir() else path.name for path in places if path.suffix in ("", ".py")]
    assert len(names) > 20
    assert [name for name in names if name not in rooms.split()] == []


# The first page


def test_the_first_page_says_what_ships():
    """The table is written by docs/generate.py; here that it is there, and whole."""
    for kind in KINDS:
        shipped = [name for name, entry in registry().entries(kind).items() if entry.is_shipped]
        rows = [line for line in README.splitlines() if line.startswith(f"| [{kind.replace('_', ' ')}](docs/")]
        assert [re.findall(r"`([\w-]+)`", row) for row in rows] == ([sorted(shipped)] if shipped else [])


def test_the_table_of_methods_has_a_row_and_a_section_for_each():
    text = DOCUMENTS["docs/methods.md"]
    for name in registry().names("methods"):
        assert f"| [`{name}`](#{name}) |" in text
        assert f"\n### {name}\n" in text


def test_pictures_are_small():
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert pictures
    assert [picture.name for picture in pictures if picture.stat().st_size > 200 * 1024] == []
