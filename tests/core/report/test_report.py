"""The page: whole, self-contained, honest about what a run folder lacks."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from limbeck.cli import main
from limbeck.data import DataSpec
from limbeck.errors import ArtifactError, UsageError
from limbeck.evaluation.rows import Evaluation, load_rows, save_rows
from limbeck.report import write_report
from limbeck.report.figures import LABELS, duration, flatten, gap
from limbeck.report.gallery import SHOWN
from limbeck.synthetic import SyntheticSet

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def test_page_names_every_class_and_every_row(page):
    found = page()
    for name in NAMES:
        assert name in found.text
    measured = ["synthetic", "random", "random_bytes", "whole"]
    assert [row["data-row"] for row in found.all("tr") if "data-row" in row] == measured
    for label in measured:
        assert LABELS[label] in found.text
    for cell in ("convnet-d2-w32-in", "301", "1,437", "dsa", "hard", "last epoch", "whole"):
        assert cell in found.text


def test_page_needs_no_other_file_and_no_network(page):
    found = page()
    assert not re.search(r"https?://", found.source)
    assert found.all("script") == [{}]
    for _, attributes in found.elements:
        for key in ("src", "href", "xlink:href", "data", "poster"):
            assert attributes.get(key, "data:").startswith(("data:", "#"))
    assert "@import" not in found.source
    assert not re.search(r"url\((?!#)", found.source)


def test_every_image_is_a_picture_of_the_set(page, digits):
    found = page(ipc=2, initial=False)
    images = found.all("img")
    assert len(images) == 20
    for image in images:
        head, _, data = image["src"].partition(",")
        assert head == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
            assert picture.size == (8, 8)
            assert (int(image["width"]), int(image["height"])) == (56, 56)
        assert image["alt"]


def test_before_shows_the_images_the_run_started_from(page, digits):
    found = page(ipc=1)
    before = [image for image in found.all("img") if "before" in image["alt"]]
    pixels, labels = digits
    for k, image in enumerate(before):
        with Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))) as picture:
            shown = torch.tensor(np.asarray(picture)) / 255
        assert torch.allclose(shown, pixels[labels == k][0, 0], atol=1 / 255)


def test_many_images_are_cut_and_counted(page):
    found = page(ipc=30)
    assert len(found.all("img")) == 2 * SHOWN * len(NAMES)
    assert f"The first {SHOWN} of each class are shown" in found.text
    assert "zero 30" in found.text


def test_hundred_classes_stay_small(page, digits):
    names = tuple(f"class number {k}" for k in range(100))
    colour = torch.rand(400, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    found = page(ipc=4, initial=False, names=names, data=(colour, torch.arange(400) % 100))
    assert all(name in found.text for name in names)
    assert len(found.all("svg")) == 2 + 3
    assert len(found.all("img")) == 100 * 4
    assert len(found.source) < 1_000_000


def test_run_without_evaluation_says_what_to_type(page):
    found = page(rows=False)
    assert "Not measured yet" in found.text
    assert "limbeck evaluate run" in found.text
    assert not found.all("table")


def test_selection_has_neither_losses_nor_first_images(page):
    found = page(selects=True, method="random")
    assert "selected" in found.text
    assert "before" not in found.text
    assert "Loss" not in found.text


def test_set_alone_is_enough(page):
    found = page(config=False, initial=False, steps=0, rows=False)
    assert "dm on digits , 10 images per class" in found.text
    assert "limbeck distill" not in found.text


def test_settings_environment_and_plan_are_there(page, tmp_path):
    found = page()
    assert html.unescape(found.source).count((tmp_path / "run" / "config.yaml").read_text()) == 1
    assert "limbeck distill --config run/config.yaml --out run-again" in found.text
    for text in ("2.15.0", "mine 0.2", "chunks.synthetic"):
        assert text in found.text


def test_published_figure_stands_with_its_source_and_deviations(page):
    reference = {"accuracy": 91.7, "std": 0.5, "source": "Table 1 of a paper"}
    found = page(reference=reference, deviations=["width 128 -> 32"])
    assert "91.7 ± 0.5 % , Table 1 of a paper" in found.text
    assert "width 128 -> 32" in found.text
    assert "Published" not in page(method="mine").text


def test_difference_is_stated_in_points_and_standard_errors(page, tmp_path):
    found = page()
    rows = load_rows(tmp_path / "run")
    difference = gap(rows[0], rows[1])
    assert difference.points == pytest.approx(100 * (rows[0].mean - rows[1].mean))
    assert f"{difference.points:.1f} points above random images" in found.text
    assert f"({difference.errors:.1f} standard errors)" in found.text


def test_rows_of_another_protocol_are_not_compared(make_run, tmp_path, read):
    folder = make_run(tmp_path / "run")
    rows = load_rows(folder)
    save_rows(folder, [rows[0], Evaluation(**{**vars(rows[1]), "protocol": "other"})])
    found = read(folder)
    assert "above random" not in found.text
    assert "other" in found.text


def test_one_network_gives_points_without_error(make_run, tmp_path, read):
    folder = make_run(tmp_path / "run")
    rows = load_rows(folder)
    save_rows(folder, [Evaluation(**{**vars(row), "accuracies": row.accuracies[:1]}) for row in rows])
    found = read(folder)
    assert "points above random" in found.text
    assert "standard errors" not in found.text
    assert "±" not in found.text.replace("mean ± population", "")


@pytest.mark.parametrize("last, shown", [(0.0125, True), (0.01, False), (None, False)])
def test_rate_of_students_is_drawn_where_it_was_learned(make_run, tmp_path, read, last, shown):
    folder = make_run(tmp_path / "run", steps=50)
    rates = {} if last is None else {0: 0.01, 1: last}
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    rows = [{**row, "syn_lr": rates[min(row["step"], 1)]} if rates else row for row in rows]
    (folder / "log.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    text = read(folder).text
    assert ("Learning rate of students" in text) == shown == ("From 0.01 to 0.0125" in text)


def test_text_of_a_run_is_never_markup(page):
    evil = "<script>alert(1)</script>\"'&$"
    found = page(names=(evil, *NAMES[1:]), method=evil, deviations=[evil], reference={"accuracy": 1, "source": evil})
    assert len(found.scripts) == 1 and "alert" not in found.scripts[0]
    assert found.text.count("alert(1)") >= 5


def test_log_cut_short_and_logged_twice(make_run, tmp_path, read):
    folder = make_run(tmp_path / "run", steps=50)
    lines = ['{"step": 49, "loss": NaN, "seconds": 9.0}', '{"step": 10, "loss": 1.0, "seconds": 0.2}']
    with (folder / "log.jsonl").open("a") as log:
        log.write("\n".join([*lines, '{"step": 50, "lo']))
    assert "50 steps" in read(folder).text


def test_groups_that_are_no_classes_are_called_groups(tmp_path, read):
    spec = DataSpec("custom", (1, 4, 6), 2, ("left", "right"), (0.5,), (0.5,), True)
    images, labels, group = torch.zeros(3, 1, 4, 6), torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2])
    SyntheticSet(images, labels, group, spec).save(tmp_path)
    found = read(tmp_path)
    assert "group 2" in found.text
    assert {(image["width"], image["height"]) for image in found.all("img")} == {("54", "36")}


def test_class_without_an_image_is_named(tmp_path, read):
    spec = DataSpec("custom", (3, 4, 4), 3, ("a", "b", "missing"), (0.5,) * 3, (0.5,) * 3, True)
    labels = torch.tensor([0, 1])
    SyntheticSet(torch.zeros(2, 3, 4, 4), labels, labels, spec).save(tmp_path)
    assert "missing no image" in read(tmp_path).text


def test_same_folder_same_bytes(make_run, tmp_path):
    folder = make_run(tmp_path / "run")
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


@pytest.mark.parametrize("file", ["evaluation.json", "plan.json", "config.yaml", "initial.safetensors"])
def test_damaged_file_is_named_in_one_line(make_run, tmp_path, file):
    folder = make_run(tmp_path / "run")
    (folder / file).write_bytes(b"{ [ \xff")
    with pytest.raises(ArtifactError, match=file) as caught:
        write_report(folder)
    assert "\n" not in str(caught.value)


def test_missing_folder_is_one_line(tmp_path, capsys):
    with pytest.raises(UsageError, match="no run folder"):
        write_report(tmp_path / "none")
    assert main(["report", str(tmp_path / "none")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    with pytest.raises(UsageError, match="no synthetic set"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_command_writes_the_page_and_says_where(make_run, tmp_path, capsys, monkeypatch):
    folder, opened = make_run(tmp_path / "run"), []
    monkeypatch.setattr("click.launch", opened.append)
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert not opened
    assert main(["report", str(folder), "--open"]) == 0
    assert opened == [(folder / "report.html").as_uri()]


def test_numbers_are_written_for_the_eye():
    assert [duration(v) for v in (0.42, 59.7, 725, 12_000)] == ["0.4 s", "1 min 0 s", "12 min 5 s", "3 h 20 min"]
    assert flatten({"a": {"b": True, "c": None}, "d": [], "e": 0.5}) == [("a.b", "yes"), ("d", "none"), ("e", "0.5")]


# What a page lets run


def test_only_our_script_may_run(page):
    found = page()
    (policy,) = [one["content"] for one in found.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(found.scripts[0].encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_the_filter_waits_for_the_script(page):
    found = page()
    assert [one for one in found.all("div") if one.get("class") == "filter"] == [{"class": "filter", "hidden": None}]
    assert [one["data-class"] for one in found.all("article")] == [str(k) for k in range(10)]
    assert [one["value"] for one in found.all("input") if one["type"] == "radio"] == ["both", "before", "after"]
    assert "<details open><summary>Choose classes" in found.source


def test_a_selection_has_nothing_to_switch(page):
    assert [one["type"] for one in page(selects=True).all("input")] == ["search"]


# What a run says of itself


def test_selected_images_name_their_features(page):
    said = "convnet-d3-w32-in, 10 epochs, seed 0"
    found = page(selects=True, method="herding", provenance={"features": said})
    assert f"features of {said}" in found.text
    assert [one["data-label"] for one in found.all("td")].count("Features") == 4
    assert "features" not in page(selects=True, method="random").text.lower()


@pytest.mark.parametrize("whitened, said", [(False, "mean and std"), (True, "ZCA")])
def test_preprocessing_is_stated(page, whitened, said):
    assert f"preprocessing {said}" in page(whitened=whitened, ipc=1, steps=0, rows=False).text


def test_repeating_a_run_takes_its_plugin_files(make_run, tmp_path, read):
    folder = make_run(tmp_path / "run")
    plugins = ["limbeck 0.1.0", "my file.py", "shiny 2.0"]
    (folder / "environment.json").write_text(json.dumps({"plugins": plugins}))
    found = read(folder).text
    assert "limbeck -p 'my file.py' distill --config run/config.yaml --out run-again" in found
    assert "limbeck -p 'my file.py' evaluate run" in found
    assert "with my file.py there too" in found


def test_a_set_alone_says_which_plugin_files_it_needs(page):
    used = [
        {"kind": "networks", "name": "mine", "distribution": "mine.py", "version": ""},
        {"kind": "networks", "name": "convnet", "distribution": "limbeck", "version": "0.1.0"},
    ]
    found = page(config=False, provenance={"plugins": used}).text
    assert "limbeck -p mine.py evaluate run" in found


def test_very_many_classes_stay_small_and_show_the_worst(page, monkeypatch):
    monkeypatch.setattr("limbeck.report.gallery.PIXELS", 200 * 16 * 16)
    names, rng = tuple(f"class {k}" for k in range(200)), torch.Generator().manual_seed(0)
    images = torch.rand(200, 3, 20, 20, generator=rng)
    found = page(ipc=1, names=names, data=(images, torch.arange(200)), steps=0)
    pictures = found.all("img")
    assert len(pictures) == 400 and {one["width"] for one in pictures} == {"64"}
    with Image.open(io.BytesIO(base64.b64decode(pictures[0]["src"].partition(",")[2]))) as picture:
        assert picture.size == (16, 16)
    assert "The 150 classes of lowest accuracy" in found.text
    assert "<details><summary>Choose classes" in found.source
