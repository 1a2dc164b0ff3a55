"""The page of a comparison: every method, every picture, and a table that a click sorts in a real browser."""

from __future__ import annotations

import html
import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from limbeck.compare import RUNS, WHOLE, Asked, Outcome, Place, Row, Rows, tabulate
from limbeck.data import DataSpec
from limbeck.evaluation import Evaluation, Recipe
from limbeck.report.comparison import rewrite_comparison, write_comparison
from limbeck.synthetic import SyntheticSet

METHODS = {"random": 0.5, "dm": 0.75, "<b>bold</b>": 0.625, "k_means": 0.7}
WIDTHS = (400, 1400)
SPEC = importlib.util.spec_from_file_location("screenshots", Path(__file__).parents[3] / "docs" / "screenshots.py")
screenshots = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(screenshots)


def row(method, ipc, accuracies, **more):
    recipe = Recipe(network="convnet-d2-w32-in", epochs=21, augmentation={"name": "dsa"}).to_dict()
    measured = Evaluation("synthetic", "dc", recipe, accuracies, [0.5] * 10, 650 * ipc, 10 * ipc, 1.0).to_dict()
    features = "convnet-d2-w32-in, 30 epochs" if method == "k_means" else ""
    cost = {"seconds": 0.001, "steps": 0, "growth": 2**20, "features": 12.0 if features else 0.0, "evaluating": 3.0}
    if method == "dm":
        cost |= {"seconds": 75.0, "steps": 500}
    run = f"{len(method)}-ipc{ipc}"
    return Row(run, method, ipc, 0, run, measured, "convnet-d2-w32-in", features=features, cost=cost, **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, digits):
    """A comparison of four methods with real digits and made-up figures; the set of one is lost."""
    folder = tmp_path_factory.mktemp("comparison")
    images, labels = digits
    spec = DataSpec("digits", (1, 8, 8), 10, tuple(map(str, range(10))), (0.3,), (0.4,), False)
    rows, places = Rows(folder), []
    for ipc in (1, 6):
        chosen = torch.cat([torch.nonzero(labels == k)[:ipc, 0] for k in range(10)])
        for method, mean in METHODS.items():
            made = row(method, ipc, [mean - 0.02, mean + 0.02], deviations=["real batch 256 -> 64"])
            rows.add(made)
            places.append(Place(method, ipc, 0, made.key))
            if (method, ipc) != ("k_means", 6):
                kept = SyntheticSet(spec.normalise(images[chosen]), labels[chosen], labels[chosen], spec)
                kept.save(folder / RUNS / made.run)
    rows.add(row(WHOLE, 0, [0.97, 0.98]))
    places += [Place("dc", 1, 0, "never"), Place(WHOLE, 0, 0, rows.all()[-1].key)]
    command = "limbeck compare --methods dm --out it"
    asked = Asked("digits", tuple(places), budget={"seconds": 75.0}, command=command)
    outcome = Outcome(tabulate(asked, rows), {"dc, ipc 1, seed 0": "its loss is <nan>."})
    outcome.save(folder)
    write_comparison(folder, outcome)
    return folder


class Seen(HTMLParser):
    """Texts of the page's cells, its images, and what it would fetch."""

    def __init__(self, text):
        super().__init__()
        self.images, self.links, self.heads, self._is_head = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [values[key] for key in ("href", "src") if key in values]
        if tag == "img":
            self.images.append(values["alt"])
        if tag == "th" and values.get("scope") == "row":
            self._is_head = True
            self.heads.append("")

    def handle_endtag(self, tag):
        self._is_head = self._is_head and tag != "th"

    def handle_data(self, data):
        if self._is_head:
            self.heads[-1] += data


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "compare.html").read_text()


def test_every_method_is_in_the_table_and_beside_its_pictures(text):
    seen = Seen(text)
    table, strips = seen.heads[:9], seen.heads[9:]
    assert table == [*METHODS, *METHODS, "whole data set"]
    assert strips == [*METHODS, *(name for name in METHODS if name != "k_means")]
    assert sum(alt.startswith("dm, ") for alt in seen.images) == 10 + 3 * 4
    assert len(seen.images) == 4 * 10 + 3 * 3 * 4
    assert "3 of 10 classes, the first 4 images of each" in text


def test_nothing_is_fetched_and_texts_stay_texts(text):
    links = Seen(text).links
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert "<b>bold</b>" not in text and "&lt;b&gt;bold&lt;/b&gt;" in text
    assert "its loss is &lt;nan&gt;." in text


def test_facts_and_figures_are_told(text):
    for said in (
        "<b>9</b> of 10 rows finished",
        "each method <b>1 min 15 s</b>",
        "features of k_means, ipc 1</dt><dd>convnet-d2-w32-in, 30 epochs</dd>",
        "limbeck compare --methods dm --out it",
        "real batch 256 -&gt; 64",
        "+25.0",
    ):
        assert said in text


def test_the_page_is_written_again_from_the_folder(folder, text):
    assert rewrite_comparison(folder) == folder / "compare.html"
    assert (folder / "compare.html").read_text() == text


def test_a_comparison_without_rows_has_a_page(tmp_path):
    asked = Asked("digits", (Place("random", 1, 0, "a"),))
    page = write_comparison(tmp_path, Outcome(tabulate(asked, Rows(tmp_path)))).read_text()
    assert "No row is finished yet." in page and "<b>0</b> of 1 rows finished" in page


# In a browser

LOOK = """<!doctype html><title>look</title>
{frames}
<pre id="facts"></pre>
<script>
function texts(page, column) {{
  return [...page.querySelectorAll(".sortable tbody tr")].map(one => one.cells[column].dataset.sort);
}}
function click(page, column) {{
  page.querySelectorAll(".sortable thead th")[column].querySelector("button").click();
  return texts(page, column);
}}
addEventListener("load", () => {{
  const found = [...document.querySelectorAll("iframe")].map(frame => {{
    const page = frame.contentDocument, root = page.documentElement;
    return {{
      beyond: root.scrollWidth - frame.contentWindow.innerWidth,
      broken: [...page.images].filter(one => !one.complete || !one.naturalWidth).length,
      images: page.images.length,
      charts: page.querySelectorAll("svg").length,
      down: click(page, 2), up: click(page, 2), names: click(page, 0), over: click(page, 4),
    }};
  }});
  document.getElementById("facts").textContent = JSON.stringify(found);
}});
</script>"""


@pytest.mark.skipif(screenshots.CHROMIUM is None, reason="no Chromium to look with: apt install chromium")
def test_a_browser_shows_it_whole_and_sorts_it(folder):
    frames = (f'<iframe src="compare.html" style="width: {w}px; height: 900px; border: 0"></iframe>' for w in WIDTHS)
    (folder / "harness.html").write_text(LOOK.format(frames="".join(frames)))
    seen = screenshots.browse((folder / "harness.html").as_uri(), "--enable-logging=stderr", "--dump-dom", timeout=60)
    assert re.findall(r":(?:INFO|WARNING|ERROR):CONSOLE.*", seen.stderr) == []
    found = json.loads(html.unescape(re.search(r'<pre id="facts">(.*?)</pre>', seen.stdout, re.DOTALL)[1]))
    assert len(found) == len(WIDTHS)
    means = sorted([*METHODS.values()] * 2 + [0.975])
    for each in found:
        assert each["beyond"] <= 0
        assert (each["broken"], each["images"], each["charts"]) == (0, 76, 4)
        assert [float(mean) for mean in each["down"]] == pytest.approx(means[::-1])
        assert [float(mean) for mean in each["up"]] == pytest.approx(means)
        assert each["names"] == sorted(each["names"], key=str.casefold)
        assert each["over"][-3:] == ["", "", ""]
