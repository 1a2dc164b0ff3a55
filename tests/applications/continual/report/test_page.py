"""The page of a study, read as text and looked at in a real browser."""

from __future__ import annotations

import html
import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from limbeck_applications.continual.report.page import FILE, pictures, render, write_page
from limbeck_applications.continual.results import Results

WIDTHS = (400, 1400)
PLACE = Path(__file__).parents[4] / "docs" / "screenshots.py"
SPEC = importlib.util.spec_from_file_location("screenshots", PLACE)
screenshots = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(screenshots)


class Seen(HTMLParser):
    """What the page would fetch, its pictures, and the texts of its row heads."""

    def __init__(self, text):
        super().__init__()
        self.links, self.pictures, self.heads, self._is_head = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [values[key] for key in ("href", "src") if key in values]
        if tag == "img":
            self.pictures.append(values["alt"])
        self._is_head = tag == "th" and values.get("scope") == "row"
        self.heads += [""] if self._is_head else []

    def handle_endtag(self, tag):
        self._is_head = False

    def handle_data(self, data):
        if self._is_head:
            self.heads[-1] += data


@pytest.fixture(scope="module")
def text(study):
    return write_page(study[1], Results.of(study[0])).read_text()


def test_every_strategy_has_a_row_a_curve_and_a_matrix(text, study):
    names = [line.name for line in Results.of(study[0]).lines]
    seen = Seen(text)
    assert seen.heads == [*names, *["1", "2", "3"] * len(names)]
    assert text.count("<svg") == 1
    ranked = re.findall(r'<span class="name(?: distilled)?">(.*?)</span>', text)
    assert [html.unescape(name) for name in ranked] == [*names[2:], "gdumb", "naive"]
    assert text.count('class="now"') == 3 * len(names) and text.count('class="later"') == 3 * len(names)


def test_figures_and_facts_are_told(text, study):
    line = Results.of(study[0]).lines[2]
    spread = line.spread("accuracy")
    for said in (
        f'{100 * spread.mean:.1f} <span class="std">± {100 * spread.std:.1f}</span>',
        "<b>16</b> of 16 cells finished",
        "a class may keep <b>130 B</b>, growing with the classes seen",
        "not more than 1,300 bytes at the end",
        "limbeck continual run --strategies naive",
        "3, 1, 4 | 0, 5, 9, 2 | 6, 8, 7",
        "epochs: 1 -&gt; &lt;2&gt;",
        "retraining.epochs",
        "which Avalanche calls forgetting",
    ):
        assert said in text, said
    assert text.count('<tr data-row="best">') == 1
    assert '<tr data-row="best">\n<th scope="row" data-sort="distilled_gdumb [dm]">' in text


def test_who_keeps_more_than_the_others_may_is_marked(text, greedy):
    mark, note = (
        '<abbr title="keeps more than is allowed">*</abbr></th>',
        "*: keeps more than the 1,300 bytes of the others",
    )
    marked = render(Results.of(greedy))
    assert re.findall(rf'data-sort="([^"]*)">[^<]*{re.escape(mark)}', marked) == ["gdumb"] and note in marked
    assert mark not in text and note not in text


def test_a_memory_is_shown_class_by_class_in_the_order_of_arrival(text):
    classes = ["3", "1", "4", "0", "5", "9", "2", "6", "8", "7"]
    assert Seen(text).pictures == [f"{name}, image {k}" for name in classes for k in (1, 2)]
    assert "<b>9</b>, experience 2" in text


def test_nothing_is_fetched_and_texts_stay_texts(text):
    links = Seen(text).links
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert "<b>x</b>" not in text and "&lt;b&gt;x&lt;/b&gt;" in text


def test_the_page_of_an_unfinished_study_says_so(outcome_in, tmp_path):
    text = render(Results.of(outcome_in(tmp_path, finished=False)))
    assert "<b>14</b> of 16 cells finished" in text and "<span>2 of 4</span>" in text
    assert "order 1, seed 0</strong> is missing: its loss is &lt;nan&gt;." in text


def test_a_study_without_rows_and_without_pictures_has_a_page(outcome_in, tmp_path):
    outcome = outcome_in(tmp_path)
    for place in outcome.memories["dm", 0]:
        (place / "synthetic.safetensors").unlink()
    results = Results.of(type(outcome)(outcome.settings, {}, {}, outcome.experiences, outcome.memories))
    assert pictures(results) == []
    text = render(results)
    assert "No cell is finished yet." in text and "<svg" not in text


def test_one_experience_and_one_seed(outcome_in, tmp_path):
    text = render(Results.of(outcome_in(tmp_path, experiences=1, orders=1, seeds=1)))
    assert '1 <span class="on">experience</span>' in text and "±" not in text.split("</style>")[1].split("<svg")[0]


def test_pictures_stay_small_however_many_there_are(outcome_in, tmp_path, monkeypatch):
    monkeypatch.setattr("limbeck.report.strips.PIXELS", 10 * 16)
    shown = pictures(Results.of(outcome_in(tmp_path)))
    assert [len(images) for *_, images in shown[0].classes] == [1] * 10
    assert [count for _, _, count, _ in shown[0].classes] == [2] * 10


# In a browser

LOOK = """<!doctype html><title>look</title>
{frames}
<pre id="facts"></pre>
<script>
addEventListener("load", () => {{
  const found = [...document.querySelectorAll("iframe")].map(frame => {{
    const page = frame.contentDocument, root = page.documentElement;
    const heads = [...page.querySelectorAll(".sortable thead th")];
    heads[1].querySelector("button").click();
    const heat = page.querySelector(".heat td.now").getBoundingClientRect();
    return {{
      beyond: root.scrollWidth - frame.contentWindow.innerWidth,
      broken: [...page.images].filter(one => !one.complete || !one.naturalWidth).length,
      images: page.images.length,
      sorted: [...page.querySelectorAll(".sortable tbody th")].map(one => one.textContent),
      colours: new Set([...page.querySelectorAll(".heat td")].map(one => getComputedStyle(one).backgroundColor)).size,
      heat: heat.width > 20 && heat.height > 12,
    }};
  }});
  document.getElementById("facts").textContent = JSON.stringify(found);
}});
</script>"""


@pytest.mark.skipif(screenshots.CHROMIUM is None, reason="no Chromium to look with: apt install chromium")
@pytest.mark.usefixtures("text")
def test_a_browser_shows_it_whole_and_sorts_it(study):
    folder = study[1]
    frames = (f'<iframe src="{FILE}" style="width: {w}px; height: 900px; border: 0"></iframe>' for w in WIDTHS)
    (folder / "harness.html").write_text(LOOK.format(frames="".join(frames)))
    seen = screenshots.browse((folder / "harness.html").as_uri(), "--enable-logging=stderr", "--dump-dom", timeout=60)
    assert re.findall(r":(?:INFO|WARNING|ERROR):CONSOLE.*", seen.stderr) == []
    found = json.loads(html.unescape(re.search(r'<pre id="facts">(.*?)</pre>', seen.stdout, re.DOTALL)[1]))
    assert len(found) == len(WIDTHS)
    for each in found:
        assert each["beyond"] <= 0
        assert (each["broken"], each["images"], each["heat"]) == (0, 20, True)
        assert each["sorted"] == ["distilled_gdumb [dm]", "distilled_gdumb [<b>x</b>]", "gdumb", "naive"]
        assert each["colours"] > 5
