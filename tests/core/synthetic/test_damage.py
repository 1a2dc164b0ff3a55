"""A run folder with one bit turned, or cut short: every such damage is found, or changes nothing anybody sees."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter

import pytest
import torch

from limbeck.cli import main
from limbeck.distillation import checkpoint
from limbeck.distillation.log import LossLog
from limbeck.errors import LimbeckError
from limbeck.execution.plan import Plan
from limbeck.report.run import read_run
from limbeck.runs import resumed_config
from limbeck.synthetic import SyntheticSet

FILES = (
    "synthetic.safetensors", "manifest.json", "preview.png", "evaluation.json", "config.yaml", "log.jsonl",
    "initial.safetensors", "environment.json", "plan.json", "report.html", "checkpoint.safetensors",
)  # fmt: skip
RUN = (
    "distill", "--method", "dm", "--profile", "small", "--network", "convnet-d1-w4", "--device", "cpu", "--steps", "4",
    "--networks", "1", "--max-per-class", "20", "--set", "data.batch_real=4", "--set", "evaluation.protocol.epochs=1",
    "--set", "evaluation.baselines=false", "--set", "execution.threads=1",
)  # fmt: skip
LONGER = ("--steps", "5", "--networks", "0")
NUMBER = 110
UNSEEN = {"preview.png", "report.html"}
"""Written for people; nothing reads them again."""
DETECTED, HARMLESS = "detected", "harmless"


@pytest.fixture(scope="module")
def no_page():
    """Write a line in place of the page, which costs more than all the rest of a tiny run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limbeck.report.write_report", lambda folder: (folder / "report.html").write_text("a page"))
        yield patch


@pytest.fixture(scope="module")
def whole(tmp_path_factory, no_page):
    """A finished run folder, whole."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main([*RUN, "--out", str(folder)]) == 0
    assert [name for name in FILES if not (folder / name).stat().st_size] == []
    return folder


@pytest.fixture(scope="module")
def longer(whole):
    """What the whole run becomes when it is resumed."""
    folder = whole.with_name("longer")
    shutil.copytree(whole, folder)
    assert main(["distill", "--resume", str(folder), *LONGER]) == 0
    return seen(SyntheticSet.load(folder))


def seen(synthetic):
    """What a student, or a reader of the manifest, sees of a set."""
    tensors = [synthetic.normalised(), synthetic.labels, synthetic.group, *synthetic.component_state.values()]
    plain = (
        synthetic.spec,
        synthetic.recipe,
        synthetic.figures,
        synthetic.label_kind,
        synthetic.provenance["settings"],
    )
    return plain, [tensor.tolist() for tensor in tensors]


def shown(run, known):
    """What the page is made of; a row of the log that was damaged may be absent.

    Where the damage hit the name of a file's own checksum, that stands among the entries, which are as they were.
    """
    initial = None if run.initial is None else [tensor.tolist() for tensor in run.initial]
    rows = [row.to_dict() for row in run.rows]
    entries = [{key: found.get(key) for key in wanted} for found, wanted in zip(stated(run), known, strict=True)]
    return seen(run.synthetic), run.config, entries, initial, rows


def stated(run):
    return run.plan, run.environment


def damages(number, sizes):
    """Yield (file, what is done, position): files in turn, three bits turned for each cut."""
    chance = random.Random(0)
    for index in range(number):
        name = FILES[index % len(FILES)]
        kind = "cut" if chance.random() < 0.25 else "bit"
        yield name, kind, chance.randrange(sizes[name] * (8 if kind == "bit" else 1))


def damage(content, kind, position):
    if kind == "cut":
        return content[:position]
    changed = bytearray(content)
    changed[position // 8] ^= 1 << position % 8
    return bytes(changed)


def outcome(act, same):
    """Say how an act ended: a refusal of one line is a detection, and the same result as ever is harmless."""
    try:
        result = act()
    except LimbeckError as error:
        assert "\n" not in str(error)
        return DETECTED
    assert same(result), "a damage went unnoticed and changed something"
    return HARMLESS


class Readers:
    """Reads each part of a folder in this process, and compares with the whole one."""

    def __init__(self, whole):
        self.set, self.run = SyntheticSet.load(whole), read_run(whole)
        self.start, self.plan, self.config = checkpoint.load(whole), Plan.load(whole), resumed_config(whole, {})

    def __call__(self, folder):
        return {
            "load": outcome(lambda: SyntheticSet.load(folder), lambda found: seen(found) == seen(self.set)),
            "page": outcome(lambda: read_run(folder), self.same_page),
            "resume": outcome(lambda: self.resume(folder), self.same_start),
        }

    def same_page(self, run):
        known = stated(self.run)
        text = run.config_text.endswith(self.run.config_text)  # a comment may stand above it
        return text and shown(run, known) == shown(self.run, known) and all(row in self.run.log for row in run.log)

    def resume(self, folder):
        rows = LossLog(folder, self.start[0].step).rows
        return resumed_config(folder, {}), Plan.load(folder), *checkpoint.load(folder), rows

    def same_start(self, found):
        config, plan, position, tensors, rows = found
        equal = all(torch.equal(tensors[name], tensor) for name, tensor in self.start[1].items())
        is_same = (config, plan, position) == (self.config, self.plan, self.start[0])
        return is_same and equal and all(row in self.run.log for row in rows)


def test_damage_of_any_file_is_found_or_does_no_harm(whole, tmp_path):
    """Readers in this process; the command lines themselves are in the slow test."""
    sizes = {name: (whole / name).stat().st_size for name in FILES}
    counts, readers, folder = Counter(), Readers(whole), tmp_path / "run"
    shutil.copytree(whole, folder)
    for name, kind, position in damages(NUMBER, sizes):
        (folder / name).write_bytes(damage((whole / name).read_bytes(), kind, position))
        found = readers(folder)
        counts[name, DETECTED if DETECTED in found.values() else HARMLESS] += 1
        for file in (name, "log.jsonl"):  # reading the log drops damaged rows from it
            shutil.copy(whole / file, folder / file)
    assert sum(counts.values()) == NUMBER
    assert {name for name in FILES if counts[name, HARMLESS]} <= UNSEEN | {"log.jsonl"}, counts


@pytest.mark.slow
def test_a_thousand_damages_and_no_traceback(whole, longer, no_page, tmp_path, capsys):
    """``limbeck report`` and ``limbeck distill --resume`` themselves, after each of a thousand damages."""
    from limbeck.report.page import write_report

    sizes = {name: (whole / name).stat().st_size for name in FILES}
    counts, readers, folder = {name: Counter() for name in FILES}, Readers(whole), tmp_path / "run"
    for name, kind, position in damages(1000, sizes):
        content, found = damage((whole / name).read_bytes(), kind, position), {}
        for act in (readers, "limbeck report", "limbeck resume"):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(whole, folder)
            (folder / name).write_bytes(content)
            if act is readers:
                found.update(readers(folder))
            elif act == "limbeck report":
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr("limbeck.report.write_report", write_report)
                    found[act] = ended(["report", str(folder)], capsys)
            else:
                found[act] = ended(["distill", "--resume", str(folder), *LONGER], capsys)
        if found["limbeck resume"] == HARMLESS:
            assert seen(SyntheticSet.load(folder)) == longer, f"{name}, {kind} at {position}: another set"
        counts[name].update(f"{act}: {how}" for act, how in found.items())
        counts[name][DETECTED if DETECTED in found.values() else HARMLESS] += 1
    (tmp_path / "counts.json").write_text(json.dumps(counts, indent=1))
    assert sum(each[DETECTED] + each[HARMLESS] for each in counts.values()) == 1000


def ended(arguments, capsys):
    """Run a command line: it succeeds, or says one line."""
    status = main(arguments)
    error = capsys.readouterr().err
    if status == 0:
        return HARMLESS
    assert error.startswith("limbeck: error: ") and error.count("\n") == 1, error
    return DETECTED
