"""The page in a real browser: nothing broken, nothing sticking out, and classes that can be chosen."""

from __future__ import annotations

import html
import importlib.util
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from limbeck.cli import main

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("screenshots", ROOT / "docs" / "screenshots.py")
screenshots = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(screenshots)

pytestmark = pytest.mark.skipif(screenshots.CHROMIUM is None, reason="no Chromium to look with: apt install chromium")

WIDTHS = (400, 1400)
CONSOLE = re.compile(r":(?:INFO|WARNING|ERROR):CONSOLE.*")

LOOK = """<!doctype html><title>look</title>
{frames}
<pre id="facts"></pre>
<script>
const within = (inner, outer) =>
  inner.left >= outer.left - 1 && inner.right <= outer.right + 1 &&
  inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
function chart(svg) {{
  const box = svg.getBoundingClientRect();
  const marks = [...svg.querySelectorAll("path, use")].filter(one => !one.closest("defs"));
  const seen = marks.map(one => one.getBoundingClientRect()).filter(one => one.width + one.height > 0);
  return {{
    label: svg.getAttribute("aria-label"),
    drawn: seen.length,
    accented: marks.filter(one => /--accent/.test(one.closest("[style*='--accent']")?.getAttribute("style"))).length,
    outside: seen.filter(one => !within(one, box)).length,
  }};
}}
function state(page) {{
  const shown = [...page.querySelectorAll(".class")].filter(one => one.getClientRects().length);
  return {{
    classes: shown.map(one => Number(one.dataset.class)),
    images: [...page.querySelectorAll(".class img")].filter(one => one.getClientRects().length).length,
    count: page.querySelector(".filter output")?.textContent,
    filter: Boolean(page.querySelector(".filter")?.getClientRects().length),
  }};
}}
function facts(frame) {{
  const page = frame.contentDocument, root = page.documentElement;
  return {{
    beyond: root.scrollWidth - frame.contentWindow.innerWidth,
    images: page.images.length,
    broken: [...page.images].filter(one => !one.complete || !one.naturalWidth).length,
    unnamed: [...page.images].filter(one => !one.alt).length,
    charts: [...page.querySelectorAll("svg")].map(chart),
    ...state(page),
  }};
}}
function tell(one, name) {{ one.dispatchEvent(new Event(name, {{bubbles: true}})); }}
function steps(page) {{
  const [find, order, all] = ["[type=search]", "select", ".filter button"].map(what => page.querySelector(what));
  const found = {{start: state(page)}};
  page.querySelector("[value=after]").checked = true;
  found.after = state(page);
  find.value = "5"; tell(find, "input");
  found.find = state(page);
  find.value = "nothing like it"; tell(find, "input");
  found.nothing = state(page);
  all.click();
  found.all = state(page);
  const box = page.querySelector(".choices [value='4']");
  box.checked = true; tell(box, "change");
  found.chosen = {{...state(page), address: page.location.hash}};
  all.click();
  order.value = "score"; tell(order, "change");
  found.order = [...page.querySelectorAll(".class")].map(one => Number(one.dataset.score));
  found.focusable = [find, order, all, box].every(one => one.tabIndex === 0);
  return found;
}}
addEventListener("load", () => {{
  const frames = [...document.querySelectorAll("iframe")];
  const found = frames.map(facts);
  const pressed = {steps} ? steps(frames.at(-1).contentDocument) : null;
  document.getElementById("facts").textContent = JSON.stringify({{frames: found, pressed}});
}});
</script>"""


def look(folder, frames, steps=False):
    """Open pages in frames of one harness: what is in them, and what the console said."""
    shown = "".join(
        f'<iframe src="{address}" style="width: {width}px; height: 900px; border: 0" {more}></iframe>'
        for address, width, more in frames
    )
    harness = folder / "harness.html"
    harness.write_text(LOOK.format(frames=shown, steps=json.dumps(steps)))
    seen = screenshots.browse(harness.as_uri(), "--enable-logging=stderr", "--dump-dom", timeout=60)
    text = re.search(r'<pre id="facts">(.*?)</pre>', seen.stdout, re.DOTALL)[1]
    return json.loads(html.unescape(text)), CONSOLE.findall(seen.stderr)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run with everything a page shows."""
    folder = tmp_path_factory.mktemp("browser") / "run"
    settings = (
        "data.batch_real=4",
        "evaluation.protocol={name: dc, epochs: 2, evaluate_every: 1}",
        "evaluation.baselines=[random]",
    )
    small = ["--network", "convnet-d1-w4", "--max-per-class", "20", "--steps", "6", "--networks", "2"]
    options = [word for setting in settings for word in ("--set", setting)]
    distill = ["distill", "--method", "dm", "--profile", "small", "--ipc", "2", "--device", "cpu", *small, *options]
    assert main([*distill, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def page(run):
    """Its page, with a table of networks, one of which does not fit."""
    assert main(["evaluate", str(run), "--networks", "convnet-d1-w4=2,convnet-d1-w6=1,convnet-d9=1"]) == 0
    return run / "report.html"


def test_there_is_a_run_to_look_at(run):
    assert {"config.yaml", "initial.safetensors", "log.jsonl", "evaluation.json"} <= {one.name for one in run.iterdir()}


@pytest.mark.parametrize("width", WIDTHS)
def test_a_picture_can_be_taken(page, tmp_path, width):
    screenshots.shoot(page, width, tmp_path / "page.png", height=2500)
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.width == width and 1000 < picture.height <= 2500
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 30


@pytest.fixture(scope="module")
def seen(page):
    """Facts of the page at each width, and with classes 3 and 7 in its address; and the console."""
    frames = [("run/report.html", width, "") for width in WIDTHS]
    return look(page.parent.parent, [*frames, ("run/report.html#class=3,7", 1400, ""), frames[1]], steps=True)


def test_the_console_stays_empty(seen):
    assert seen[1] == []


@pytest.mark.parametrize("frame", [0, 1])
def test_every_image_and_every_curve_is_drawn(seen, frame):
    found = seen[0]["frames"][frame]
    assert found["beyond"] <= 0
    assert (found["images"], found["broken"], found["unnamed"]) == (2 * 10 * 2, 0, 0)
    kinds = ("each network", "each network", "Loss against", "while networks learn", "each class")
    assert [kind in chart["label"] for kind, chart in zip(kinds, found["charts"], strict=True)] == [True] * 5
    for chart in found["charts"]:
        assert chart["drawn"] > 3 and chart["accented"] > 0 and chart["outside"] == 0, chart


def test_the_address_chooses_classes(seen):
    both, chosen = seen[0]["frames"][1:3]
    assert (both["classes"], both["images"], both["count"]) == (list(range(10)), 40, "")
    assert (chosen["classes"], chosen["images"], chosen["count"]) == ([3, 7], 8, "2 of 10 classes")


def test_classes_are_found_chosen_and_ordered(seen):
    pressed = seen[0]["pressed"]
    assert pressed["after"]["images"] == pressed["start"]["images"] / 2 == 20
    assert pressed["find"]["classes"] == [5]
    assert (pressed["nothing"]["classes"], pressed["nothing"]["count"]) == ([], "0 of 10 classes")
    assert pressed["all"]["classes"] == list(range(10))
    assert (pressed["chosen"]["classes"], pressed["chosen"]["address"]) == ([4], "#class=4")
    assert pressed["order"] == sorted(pressed["order"]) and len(pressed["order"]) == 10
    assert pressed["focusable"]


BROKEN = """<!doctype html><body style="width: 500px">
<img src="data:image/png;base64,AAAA"><svg viewBox="0 0 9 9" width="90"><path d="M 0 0 L 20 20" stroke="red"/></svg>
<script>missing()</script>"""


def test_what_is_broken_is_noticed_and_scripts_are_not_needed(page):
    """One page breaks everything that the others must not; beside it the real page without JavaScript."""
    folder = page.parent.parent
    (folder / "broken.html").write_text(BROKEN)
    without = ("run/report.html", 1400, 'sandbox="allow-same-origin"')
    found, console = look(folder, [("broken.html", 400, ""), without])
    broken, plain = found["frames"]
    assert any("missing is not defined" in line for line in console)
    assert (broken["beyond"] > 0, broken["broken"], broken["unnamed"]) == (True, 1, 1)
    assert broken["charts"] == [{"label": None, "drawn": 1, "accented": 0, "outside": 1}]
    assert (plain["broken"], plain["classes"], plain["filter"]) == (0, list(range(10)), False)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_pictures_in_the_docs_are_small(width):
    path = ROOT / "docs" / "images" / f"report-{width}.png"
    with Image.open(path) as picture:
        assert picture.width == width
    assert path.stat().st_size < 300_000
