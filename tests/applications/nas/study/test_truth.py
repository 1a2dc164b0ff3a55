"""Full training: once for each architecture and seed, whatever ends it, in a table that reads as it was written."""

from __future__ import annotations

import pytest

from limbeck.errors import LimbeckError, UsageError
from limbeck_applications.nas.candidates import job
from limbeck_applications.nas.study.audience import Audience
from limbeck_applications.nas.study.kept import JOBS, NAME, TABLE, load_outcome
from limbeck_applications.nas.study.truth import make_truth
from limbeck_applications.nas.truth import read_truth

pytestmark = pytest.mark.usefixtures("one_thread")


def without_seconds(outcome):
    return sorted((row.architecture, row.seed, row.validation, row.test) for row in outcome.truth.rows)


class Stop(Audience):
    """Interrupts after so many trainings."""

    def __init__(self, after):
        self.after = after

    def trained(self, done, total, measured):
        if done == self.after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("truth")
    return folder, make_truth(settings("truth"), folder, command="limbeck nas truth --out it")


def test_every_architecture_is_trained_from_every_seed(whole):
    truth = whole[1].truth
    assert len(truth.rows) == 6 and truth.seeds == [0, 1] and len(truth.mean()) == 3
    assert all(0 <= row.test <= 1 and 0 <= row.validation <= 1 and row.seconds > 0 for row in truth.rows)
    assert truth.of_seed(0) != truth.of_seed(1)


def test_the_table_is_read_as_it_was_written(whole):
    folder, outcome = whole
    read = read_truth(folder / TABLE)
    assert read.notes == outcome.truth.notes and read.notes["command"] == "limbeck nas truth --out it"
    assert [read.notes[name] for name in ("data", "images", "validation", "test")] == ["digits", "60", "40", "355"]
    assert read.images == 60
    for own, (name, seed, validation, test) in zip(read.rows, without_seconds(outcome), strict=True):
        assert (own.architecture, own.seed) == (name, seed)
        assert own.test == pytest.approx(test, abs=5e-5) and own.validation == pytest.approx(validation, abs=5e-5)


def test_the_same_call_trains_nothing_again(whole, settings, computed):
    folder, outcome = whole
    text = (folder / TABLE).read_text()
    assert make_truth(settings("truth"), folder, command="limbeck nas truth --out it") == outcome
    assert computed == [] and (folder / TABLE).read_text() == text and load_outcome(folder) == outcome


@pytest.mark.parametrize("after", [1, 4])
def test_training_that_is_stopped_goes_on(whole, settings, tmp_path, computed, after):
    with pytest.raises(KeyboardInterrupt):
        make_truth(settings("truth"), tmp_path, audience=Stop(after))
    assert len(computed) == after and not (tmp_path / TABLE).exists()
    begun = load_outcome(tmp_path)
    assert begun.settings == settings("truth") and len(begun.truth.rows) == after and not begun.is_over
    assert without_seconds(make_truth(settings("truth"), tmp_path)) == without_seconds(whole[1])
    assert len(computed) == 6 == len(set(computed))


def test_a_folder_of_an_earlier_version_goes_on_and_keeps_its_settings_from_then_on(
    whole, settings, tmp_path, computed
):
    with pytest.raises(KeyboardInterrupt):
        make_truth(settings("truth"), tmp_path, audience=Stop(4))
    (tmp_path / NAME).unlink()
    (tmp_path / TABLE).write_text("architecture,test\n")
    for name in ("report.html", "scores.csv", "groups.csv"):
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(UsageError, match="earlier version, which did not keep its settings"):
        load_outcome(tmp_path)
    assert without_seconds(make_truth(settings("truth"), tmp_path)) == without_seconds(whole[1])
    assert len(computed) == 6 and load_outcome(tmp_path).settings == settings("truth")


def test_more_seeds_add_what_is_missing(whole, settings, tmp_path, computed):
    make_truth(settings("truth", seeds=1), tmp_path)
    assert without_seconds(make_truth(settings("truth"), tmp_path)) == without_seconds(whole[1])
    assert len(computed) == 6 == len(set(computed))


def test_a_damaged_training_is_done_again(whole, settings, tmp_path, computed):
    make_truth(settings("truth"), tmp_path)
    next((tmp_path / JOBS).iterdir()).write_text('{"test": ')
    computed.clear()
    assert without_seconds(make_truth(settings("truth"), tmp_path)) == without_seconds(whole[1])
    assert len(computed) == 1


def test_a_training_that_fails_leaves_the_others_and_is_tried_again(whole, settings, tmp_path, monkeypatch):
    trained, names = job.trained, []

    def failing(network, *given, **named):
        names.append(network.name)
        if len(names) == 2:
            raise RuntimeError("out of memory")
        return trained(network, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(job, "trained", failing)
        with pytest.raises(UsageError, match=r"^1 of 6 trainings came to nothing, the first: .* out of memory") as lost:
            make_truth(settings("truth"), tmp_path)
    assert names[1] in str(lost.value) and "\n" not in str(lost.value)
    assert len(read_truth(tmp_path / TABLE).rows) == 5 == len(list((tmp_path / JOBS).iterdir()))
    kept = load_outcome(tmp_path)
    assert kept.is_over and len(kept.failed) == 1 and kept.failed[0].startswith(f"{names[1]}")
    assert without_seconds(make_truth(settings("truth"), tmp_path)) == without_seconds(whole[1])


OTHER = [
    ({"training": {"epochs": 2}}, "epochs 2 was asked for, but the table in {} was made with 1: "),
    ({"training": {"epochs": 1, "lr": 0.1}}, "lr 0.1 was asked for, but the table in {} was made with 0.01: "),
    ({"images": 50}, "images 50 was asked for, but the table in {} was made with 60: "),
    ({"validation": 30}, "validation 30 was asked for, but the table in {} was made with 40: "),
]


@pytest.mark.parametrize(("changes", "said"), OTHER, ids=[said[:9] for _, said in OTHER])
def test_another_table_is_refused_and_the_one_that_is_there_stays(whole, settings, computed, changes, said):
    folder, before = whole[0], files(whole[0])
    with pytest.raises(UsageError) as refused:
        make_truth(settings("truth", **changes), folder)
    assert str(refused.value) == (
        f"{said.format(folder)}choose another folder with --out, or go on with that table: limbeck nas truth --resume "
        f"{folder}."
    )
    assert files(folder) == before and computed == []


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_another_space_is_another_table_and_defaults_that_are_spelled_out_are_not(settings, tmp_path):
    def asked(**options):
        return settings("truth", space={"name": "chains", "widths": [2], "stages": 1, **options}, sample=1, seeds=1)

    make_truth(asked(), tmp_path)
    with pytest.raises(UsageError, match=r"space chains \[.*layers=2.*\] was asked for, but the table in .* chains \["):
        make_truth(asked(layers=2), tmp_path)
    assert len(make_truth(asked(layers=3), tmp_path).truth.rows) == 1


def test_what_is_trained_and_not_asked_for_again_stays(whole, settings, tmp_path, computed):
    commands = ["limbeck nas truth --sample 3", "limbeck nas truth --sample 2 --seeds 3"]
    make_truth(settings("truth"), tmp_path, command=commands[0])
    computed.clear()
    few = settings("truth", sample=2, seeds=1)
    again = make_truth(few, tmp_path, command="limbeck nas truth")
    assert computed == [] and without_seconds(again) == without_seconds(whole[1]) and again.is_over
    assert again.command == commands[0]
    assert len(read_truth(tmp_path / TABLE).rows) == 6 and load_outcome(tmp_path) == again
    other = make_truth(settings("truth", sample=2, seeds=3), tmp_path, command=commands[1])
    assert len(computed) == 2 and len(other.truth.rows) == 8 == other.planned and other.is_over
    assert set(without_seconds(whole[1])) < set(without_seconds(other)) and len(other.costs) == 3
    notes = read_truth(tmp_path / TABLE).notes
    assert notes["command"] == other.command == " && ".join(commands)
    assert make_truth(settings("truth", sample=2, seeds=3), tmp_path, command=commands[1]) == other
    assert make_truth(settings("truth", seeds=3), tmp_path, command="limbeck").command == "limbeck"


def test_a_table_that_is_stopped_again_keeps_its_rows(settings, tmp_path):
    make_truth(settings("truth", sample=2), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        make_truth(settings("truth"), tmp_path, audience=Stop(1))
    kept = load_outcome(tmp_path)
    assert len(kept.truth.rows) == 4 and kept.planned == 6 and not kept.is_over


def test_a_folder_in_which_nothing_is_trained_yet_takes_other_settings(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(Audience, "planned", lambda *told: (_ for _ in ()).throw(KeyboardInterrupt))
    for changes in ({}, {"training": {"epochs": 2}}):
        with pytest.raises(KeyboardInterrupt):
            make_truth(settings("truth", **changes), tmp_path)
    assert load_outcome(tmp_path).settings.training.epochs == 2


REFUSED = [
    ({"sample": 73}, "a sample of 73 was asked for, but convnet72 has 72"),
    ({"space": "convnet720", "sample": None}, "does not fit images of 1x8x8"),
    ({"validation": 2000}, "ask for fewer with --validation or --images"),
    ({"data": "digitz"}, "digits"),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED, ids=[said[:30] for _, said in REFUSED])
def test_what_cannot_be_done_is_refused_before_anything_is_written(settings, tmp_path, changes, said):
    with pytest.raises(LimbeckError) as refused:
        make_truth(settings("truth", **changes), tmp_path / "truth")
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "truth").exists()
