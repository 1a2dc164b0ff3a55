"""Jobs run once, in order, to the same bits wherever they run, and leave no process behind."""

import os
import textwrap
import time

import pytest
import torch

from limbeck.errors import DataError, LimbeckError
from limbeck.execution.executors import Job
from limbeck.plugins import registry
from limbeck_plugins.executors.processes import Worker, _gpus, _settings
from limbeck_plugins.executors.worker import _portable

JOBS = '''
    """Functions for jobs."""

    import os
    import signal
    import time
    from pathlib import Path

    import torch

    from limbeck.errors import DataError


    def describe(config, tensors):
        return {
            "number": config["number"],
            "sums": {name: float(value.double().sum()) for name, value in tensors.items()},
            "types": {name: str(value.dtype) for name, value in tensors.items()},
            "product": float((tensors["weights"] @ tensors["weights"]).sum()),
            "threads": torch.get_num_threads(),
            "pid": os.getpid(),
        }


    def count(config, tensors):
        with Path(config["log"]).open("a") as log:
            log.write(f"{config['number']}\\n")
        return {"number": config["number"], "pair": (1, 2)}


    def refuse(config, tensors):
        raise DataError("no images.")


    def fail(config, tensors):
        raise ValueError("seven")


    def die(config, tensors):
        os.kill(os.getpid(), signal.SIGKILL)


    def sleep(config, tensors):
        Path(config["folder"], str(os.getpid())).touch()
        time.sleep(600)


    def tensor(config, tensors):
        return {"value": torch.ones(1)}
'''


@pytest.fixture
def jobs(importable):
    (importable / "limbeck_test_jobs.py").write_text(textwrap.dedent(JOBS))

    def make(function, count=1, tensors=None, **config):
        return [
            Job(f"limbeck_test_jobs:{function}", {"number": n, **config}, tensors or {}, f"{function} {n}")
            for n in range(count)
        ]

    return make


def executor(name, **options):
    return registry().create("executors", {"name": name, **options})


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition):
    for _ in range(600):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("waited 30 seconds in vain")


def test_a_key_follows_function_values_and_tensors_but_not_the_name():
    tensors = {"a": torch.arange(4)}
    job = Job("m:f", {"x": 1}, tensors, "first")
    assert job.key == Job("m:f", {"x": 1}, {"a": torch.arange(4)}, "second").key
    others = [
        Job("m:g", {"x": 1}, tensors),
        Job("m:f", {"x": 2}, tensors),
        Job("m:f", {"x": 1}, {"b": torch.arange(4)}),
        Job("m:f", {"x": 1}, {"a": torch.arange(4) + 1}),
        Job("m:f", {"x": 1}, {"a": torch.arange(4).int()}),
        Job("m:f", {"x": 1}, {"a": torch.arange(4).view(2, 2)}),
    ]
    assert len({job.key, *(other.key for other in others)}) == 1 + len(others)


def test_a_key_reads_content_and_not_memory_layout():
    square = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
    transposed = square.T.contiguous().T
    assert Job("m:f", {}, {"a": square}).key == Job("m:f", {}, {"a": transposed}).key


def test_a_result_that_is_no_json_is_refused_by_the_jobs_name(jobs):
    with pytest.raises(TypeError) as caught:
        jobs("tensor")[0].run()
    assert any("'tensor 0'" in note for note in caught.value.__notes__)


def test_errors_name_the_job(jobs):
    with pytest.raises(DataError, match=r"^refuse 0: no images\.$"):
        jobs("refuse")[0].run()
    with pytest.raises(ValueError, match="seven") as caught:
        jobs("fail")[0].run()
    assert any("'fail 0'" in note for note in caught.value.__notes__)


def test_results_come_in_order_and_are_told_once(jobs, tmp_path):
    told = []
    found = executor("serial").run(
        jobs("count", 3, log=str(tmp_path / "log")), on_result=lambda index, r: told.append((index, r))
    )
    assert [result["number"] for result in found] == [0, 1, 2]
    assert told == list(enumerate(found))


def test_finished_jobs_are_not_run_again(jobs, tmp_path):
    log, cache, told = tmp_path / "log", tmp_path / "cache", []
    work = jobs("count", 3, log=str(log))
    first = executor("serial").run(work[1:2], cache)
    again = executor("serial").run(work, cache, lambda index, _: told.append(index))
    assert log.read_text().split() == ["1", "0", "2"]
    assert again[1] == first[0] == {"number": 1, "pair": [1, 2]}
    assert told == [1, 0, 2]


def test_a_damaged_result_is_computed_again(jobs, tmp_path):
    work = jobs("count", log=str(tmp_path / "log"))
    first = executor("serial").run(work, tmp_path / "cache")
    (tmp_path / "cache" / f"{work[0].key}.json").write_text('{"num')
    assert executor("serial").run(work, tmp_path / "cache") == first
    assert executor("serial").run(work, tmp_path / "cache") == first
    assert (tmp_path / "log").read_text().split() == ["0", "0"]


def test_jobs_before_a_failure_are_kept(jobs, tmp_path):
    work = [*jobs("count", log=str(tmp_path / "log")), *jobs("refuse")]
    with pytest.raises(DataError):
        executor("serial").run(work, tmp_path / "cache")
    assert (tmp_path / "cache" / f"{work[0].key}.json").exists()


def test_equals_serial_to_the_bit_in_order_and_leaves_nothing(jobs, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    rng = torch.Generator().manual_seed(0)
    tensors = {
        "weights": torch.randn(64, 64, generator=rng),
        "pixels": torch.randint(256, (3, 4), generator=rng).to(torch.uint8).T,
        "half": torch.randn(5, generator=rng).to(torch.bfloat16),
        "number": torch.tensor(3),
        "none": torch.zeros(0, 2),
    }
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        serial = executor("serial").run(jobs("describe", 4, tensors))
    finally:
        torch.set_num_threads(before)
    told = []
    found = executor("processes", workers=2).run(
        jobs("describe", 4, tensors), on_result=lambda index, _: told.append(index)
    )
    pids = {result.pop("pid") for result in found}
    assert {result.pop("pid") for result in serial} == {os.getpid()}
    assert found == serial
    assert sorted(told) == [0, 1, 2, 3]
    assert os.getpid() not in pids
    assert not any(map(is_alive, pids))
    assert not list(tmp_path.glob("limbeck-*"))


def test_without_jobs_no_process_is_started(monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)
    assert executor("processes").run([]) == []


def test_an_error_ends_the_run_with_the_jobs_name_and_the_workers_trace(jobs):
    with pytest.raises(ValueError, match="seven") as caught:
        executor("processes", workers=1).run(jobs("fail"))
    notes = "\n".join(caught.value.__notes__)
    assert "'fail 0'" in notes
    assert 'raise ValueError("seven")' in notes


def test_a_killed_worker_is_one_line_that_names_the_job(jobs, tmp_path):
    with pytest.raises(LimbeckError) as caught:
        executor("processes", workers=1).run(
            [*jobs("count", log=str(tmp_path / "log")), *jobs("die")], tmp_path / "cache"
        )
    message = str(caught.value)
    assert message.startswith("die 0: its worker process was killed by signal 9")
    assert "\n" not in message
    assert len(list((tmp_path / "cache").glob("*.json"))) == 1


@pytest.fixture
def sleeper(jobs, tmp_path):
    """A job that sleeps for ten minutes, and what waits for it to begin and returns its process."""
    folder = tmp_path / "sleeper"
    folder.mkdir()
    return jobs("sleep", folder=str(folder)), lambda: int(wait_for(lambda: next(folder.iterdir(), None)).name)


def test_an_interrupt_ends_workers_in_the_middle_of_their_jobs(jobs, sleeper):
    sleep, begun = sleeper
    pids = []

    def interrupt(index, result):
        pids.append(begun())
        assert is_alive(pids[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        executor("processes", workers=2).run([*jobs("count", log=os.devnull), *sleep], on_result=interrupt)
    assert not is_alive(pids[0])


def test_a_worker_ends_by_itself_when_the_other_end_of_its_pipe_is_gone(sleeper):
    sleep, begun = sleeper
    with Worker(_settings(1), {}) as worker:
        worker.give(sleep[0], {})
        begun()
        worker.connection.close()
        assert worker._process.wait(30) == 0


def test_errors_travel_and_those_that_cannot_become_words():
    class Local(Exception):
        pass

    assert isinstance(_portable(DataError("x")), DataError)
    assert str(_portable(Local("two words"))) == "Local: two words"


def test_one_name_per_worker_from_what_is_visible(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7,GPU-x")
    ask = [Job("m:f", {"device": name}) for name in ("cpu", "cuda:2", "cuda:0")]
    assert _gpus(ask[:1]) == []
    assert _gpus(ask) == ["4", "GPU-x"]
    assert _gpus([*ask, Job("m:f", {"device": "cuda"})]) == ["4", "7", "GPU-x"]
