"""The command line finds commands by name, explains components, and says what is wrong in one line."""

from __future__ import annotations

import json

import click
import pytest
from pydantic import Field

from limbeck import plugins as plugins_module
from limbeck.cli import main
from limbeck.cli.describe import _option_rows
from limbeck.cli.main import cli, split_plugin_files
from limbeck.options import Options

MATCHER = '''
    from limbeck import hookimpl, Options
    from limbeck.component import Component
    from pydantic import Field

    class Mine(Component):
        """Compares nothing with nothing.

        A second paragraph.
        """

        class Options(Options):
            weight: float = Field(0.5, gt=0, le=2, description="how much")

        @classmethod
        def variant(cls, tokens):
            return {"weight": float(tokens[0])}

    @hookimpl
    def register_matchers(register):
        facts = {"summary": "compares nothing", "paper": "arXiv:0000.00000", "method": "dm"}
        register("mine", f"{__name__}:Mine", **facts)
'''
COMMAND = '''
    import click
    from limbeck import hookimpl

    @click.command()
    @click.option("--times", default=1)
    def hello(times):
        """Say hello."""
        click.echo("hello " * times)

    @click.command()
    def fails():
        raise KeyboardInterrupt

    @click.command()
    @click.option("-p", "--port")
    def greedy(port):
        pass

    @hookimpl
    def register_commands(register):
        register("say-hello", hello, summary="say it")
        register("fails", fails)
        register("greedy", greedy)
        register("no-command", "json:dumps")
        register("list", hello)
'''


@pytest.fixture(autouse=True)
def fresh():
    """Give each test a process-wide registry of its own."""
    plugins_module._loader.cache_clear()
    yield
    plugins_module._loader.cache_clear()


@pytest.fixture
def limbeck(capsys):
    """Run a command line: ``limbeck("list", "matchers") -> (status, stdout, stderr)``."""

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_main_is_the_function_that_the_script_calls():
    assert main.__name__ == "main"
    assert isinstance(cli, click.Group)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_help_teaches_and_names_every_command(limbeck, arguments):
    status, out, err = limbeck(*arguments)
    assert (status, err) == (0, "")
    assert "Examples:" in out
    for name in plugins_module.registry().names("commands"):
        assert f"\n  {name} " in out


def test_version(limbeck):
    status, out, _ = limbeck("--version")
    assert status == 0
    assert out.startswith("limbeck ")


def test_nothing_typed_shows_the_help(limbeck):
    _, out, err = limbeck()
    assert "Usage: limbeck" in out + err
    assert "limbeck: error" not in err


def test_list_without_a_kind_counts_each(limbeck):
    status, out, _ = limbeck("list")
    rows = {line.split()[0]: line.split()[1] for line in out.splitlines()[1:]}
    registry = plugins_module.registry()
    assert status == 0
    assert rows == {kind: str(len(registry.names(kind))) for kind in registry.kinds()}
    assert json.loads(limbeck("list", "--json")[1])[0]["kind"] == registry.kinds()[0]


@pytest.mark.parametrize("place", ["before", "after", "last"])
def test_a_loose_plugin_is_listed_wherever_it_stands(limbeck, loose, place):
    file = loose(MATCHER)
    lines = {
        "before": ["-p", file, "list", "matchers"],
        "after": ["list", "--plugin", file, "matchers"],
        "last": ["list", "matchers", f"--plugin={file}"],
    }
    status, out, err = limbeck(*lines[place])
    assert (status, err) == (0, "")
    [row] = [line.split("  ") for line in out.splitlines() if line.startswith("mine")]
    assert [cell.strip() for cell in row if cell.strip()] == [
        "mine", "compares nothing", "arXiv:0000.00000", "mine.py",
    ]  # fmt: skip


def test_list_json_has_provenance(limbeck, loose):
    _, out, _ = limbeck("-p", loose(MATCHER), "list", "matcher", "--json")
    entry = next(entry for entry in json.loads(out) if entry["name"] == "mine")
    assert entry["provider"] == "mine.py"
    assert entry["plugin"] == "mine"
    assert entry["summary"] == "compares nothing"


def test_an_empty_kind_says_so(limbeck, distribution, importable):
    distribution(
        "zoo",
        zoo="""
        from limbeck import hookimpl

        @hookimpl
        def register_applications(register):
            register("zoo", "zoo", hookspecs="zoo_specs")
        """,
        points={"zoo": "zoo"},
        zoo_specs='''
        from limbeck.hookspecs import hookspec

        @hookspec
        def register_cages(register):
            """Offer cages: where animals live."""
        ''',
    )
    assert limbeck("list", "cages")[1] == "No cage is installed.\n"
    assert limbeck("list", "cages", "--json")[1] == "[]\n"


def test_show_explains_options_with_defaults_and_ranges(limbeck, loose):
    status, out, _ = limbeck("-p", loose(MATCHER), "show", "matcher", "mine")
    assert status == 0
    assert out.splitlines() == [
        "matcher mine: compares nothing",
        "  paper: arXiv:0000.00000",
        "  provider: mine.py",
        "  starts from the method: dm",
        "",
        "Compares nothing with nothing.",
        "",
        "option  type   default  range      meaning",
        "weight  float  0.5      > 0, <= 2  how much",
    ]


def test_show_of_a_variant_gives_its_values(limbeck, loose):
    _, out, _ = limbeck("-p", loose(MATCHER), "show", "matchers", "mine-2")
    assert "weight  float  2.0 (from the name)  > 0, <= 2  how much" in out


def test_show_of_an_ambiguous_name_explains_the_one_asked_for(limbeck, loose):
    files = [loose(MATCHER, "one.py"), loose(MATCHER.replace("0.5", "0.25"), "two.py")]
    line = ["-p", files[0], "-p", files[1], "show", "matcher"]
    assert limbeck(*line, "mine")[0] == 2
    assert "float  0.25 " in limbeck(*line, "two.py:mine")[1]
    assert "float  2.0 (from the name)" in limbeck(*line, "two.py:mine-2")[1]


def test_option_rows_cover_the_types_that_options_use():
    from typing import Literal

    class Inner(Options):
        depth: int = Field(1, multiple_of=2)

    class Outer(Options):
        mode: Literal["a", "b"] | None = None
        sizes: list[int] = Field(default_factory=lambda: [1, 2], min_length=1)
        needed: str
        inner: Inner = Inner()

    assert list(_option_rows(Outer, {})) == [
        ["mode", "a | b | null", "null", "", ""],
        ["sizes", "list[int]", "[1, 2]", "at least 1 items", ""],
        ["needed", "str", "required", "", ""],
        ["inner.depth", "int", "1", "a multiple of 2", ""],
    ]


def test_show_of_a_method_lists_settings_profiles_and_figures(limbeck, loose):
    file = loose(
        """
        from limbeck import hookimpl

        SETTINGS = {
            "title": "Mine", "summary": "s", "notes": ["a note"],
            "settings": {"matcher": {"name": "m", "a": 1}},
            "profiles": {"published": [
                {"when": {"data": "digits", "ipc": 1}, "set": {"budget": {"iterations": 3}},
                 "figure": {"accuracy": 50.0, "std": 0.5, "source": "Table 1"},
                 "deviations": ["fewer steps"]},
                {"set": {"seed": 1}}]},
        }

        @hookimpl
        def register_methods(register):
            register("mine", SETTINGS, summary="its own")
        """
    )
    status, out, _ = limbeck("-p", file, "show", "method", "mine")
    assert status == 0
    assert out.splitlines()[2:] == [
        "  title: Mine",
        "  - a note",
        "",
        "settings:",
        "  matcher: {name: m, a: 1}",
        "",
        "profile published:",
        "  data digits, ipc 1:",
        "    budget: {iterations: 3}",
        "    published: 50.0 ± 0.5 % (Table 1)",
        "    deviates: fewer steps",
        "  always:",
        "    seed: 1",
    ]


def test_show_of_a_command_is_its_help(limbeck):
    assert "Usage: limbeck list" in limbeck("show", "command", "list")[1]


def test_everything_that_is_listed_can_be_shown(limbeck):
    registry = plugins_module.registry()
    for kind in registry.kinds():
        for name in registry.names(kind):
            if kind != "commands":
                status, out, err = limbeck("show", kind, name)
                entry = registry.entry(kind, name)
                missing = entry.extra and f"Type: pip install 'limbeck[{entry.extra}]'" in err
                assert (status, err) == (0, "") or (missing and status == 2), (kind, name)
                assert entry.summary in out


def test_a_third_partys_command_runs_and_is_in_the_help(limbeck, loose):
    file = loose(COMMAND)
    status, out, err = limbeck("say-hello", "--times", "2", "-p", file)
    assert (status, out.strip()) == (0, "hello hello")
    assert "offers the command 'list', a name that ships with Limbeck" in err
    out = limbeck("--help")[1]
    assert "Commands of plugins:" in out
    assert "say-hello   say it (mine.py)" in out
    assert "--plugin FILE" in limbeck("say-hello", "--help")[1]


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["lst"], 2, "unknown command 'lst'. Did you mean 'list'?"),
        (["list-all"], 2, "unknown command 'list-all'. Did you mean 'list'?"),
        (["list", "matchrs"], 2, "unknown kind 'matchrs'. Did you mean 'matchers'?"),
        (["show", "matcher", "gradent"], 2, "unknown matcher 'gradent'. Did you mean 'gradient'?"),
        (["list", "--jsn"], 2, "No such option '--jsn'. Did you mean '--json'? Type 'limbeck list --help'."),
        (["show", "matchers"], 2, "Missing argument 'NAME'. Type 'limbeck show --help'."),
        (["list", "-p", "nope.py"], 2, "the plugin file nope.py does not exist."),
        (["list", "-p"], 2, "Option '-p' requires an argument."),
        (["no-command"], 1, "the command 'no-command' of mine.py is not a click command."),
        (["greedy"], 1, "the command 'greedy' of mine.py uses -p or --plugin for itself."),
        (["fails"], 130, "interrupted."),
    ],
)
def test_errors_take_one_line(limbeck, loose, arguments, status, message):
    found, out, err = limbeck("-p", loose(COMMAND.replace('register("list", hello)', "pass")), *arguments)
    assert (found, out) == (status, "")
    if status == 130:
        assert err.strip().endswith(message)
    else:
        assert err.startswith(f"limbeck: error: {message}")
        assert len(err.splitlines()) == 1


@pytest.mark.parametrize("place", ["installed", "loose"])
def test_broken_plugins_are_told_listed_and_stop_nothing(limbeck, distribution, importable, loose, place):
    raises = "import nowhere_at_all"
    misspelt = "from limbeck import hookimpl\n@hookimpl\ndef register_matcher(register): pass"
    shipped = MATCHER.replace('"mine", f', '"gradient", f')
    before = json.loads(limbeck("list", "matchers", "--json")[1])
    plugins_module._loader.cache_clear()
    files = []
    if place == "installed":
        distribution("bad-one", bad_one=raises)
        distribution("bad-two", bad_two=misspelt)
        distribution("bad-three", bad_three=shipped)
    else:
        sources = {"bad_one": raises, "bad_two": misspelt, "bad_three": shipped}
        files = [f"--plugin={loose(text, f'{name}.py')}" for name, text in sources.items()]
    status, out, err = limbeck("list", "matchers", "--json", *files)
    assert status == 0
    assert json.loads(out) == before
    assert len(err.splitlines()) == 3
    for name in ("bad_one", "bad_two", "bad_three"):
        assert f"limbeck: warning: the plugin '{name}' (bad" in err
    status, out, _ = limbeck("plugins", *files)
    assert status == 0
    listed = out.partition("Left out:")[2]
    assert "No module named 'nowhere_at_all'" in listed
    assert "'register_matcher', which does not exist; did it mean 'register_matchers'?" in listed
    assert "offers the matcher 'gradient', a name that ships with Limbeck" in listed
    failures = json.loads(limbeck("plugins", "--json", *files)[1])["failures"]
    assert {failure["name"] for failure in failures} == {"bad_one", "bad_two", "bad_three"}


def test_plugins_lists_what_is_loaded_and_what_is_left_out(limbeck, distribution, importable, monkeypatch):
    distribution("party-one", party_one=MATCHER)
    distribution("party-two", party_two=MATCHER)
    monkeypatch.setenv("LIMBECK_PLUGINS", "party-one")
    _, out, _ = limbeck("plugins")
    [row] = [line for line in out.splitlines() if line.startswith("party_one")]
    assert row.split() == ["party_one", "party-one", "1.0", "matchers", str(importable / "party_one.py")]
    assert "Not in LIMBECK_PLUGINS: party-two" in out


def test_strict_leaves_through_main(loose, monkeypatch):
    monkeypatch.setenv("LIMBECK_STRICT", "1")
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        main(["list", "-p", str(loose("import nowhere_at_all"))])


def test_plugin_files_are_taken_from_anywhere_before_a_double_dash():
    files, rest = split_plugin_files(["-p", "a.py", "x", "--plugin", "b.py", "--plugin=c.py", "y", "--", "-p", "z"])
    assert files == ["a.py", "b.py", "c.py"]
    assert rest == ["x", "y", "--", "-p", "z"]


def test_on_a_terminal_listings_are_drawn(limbeck, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    _, out, _ = limbeck("list")
    assert "─" in out
