"""``imbdet search`` from its start to its end, with simulated trainings."""

import copy
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from imbdet.cli import main
from imbdet.engine import lock
from imbdet.engine.lock import is_locked
from imbdet.search import launcher, run_search, searched_configs, stage, trials
from imbdet.search.halving import Measured, Task
from imbdet.search.space import Arm
from imbdet.search.storage import open_storage, sqlite_url
from tests.search.conftest import SPACE, played_ap

SLOW = SPACE % "slow"


def content(tmp_path):
    return json.loads((tmp_path / "o" / "search.json").read_text())


def open_study(tmp_path, name="imbdet"):
    return optuna.load_study(study_name=name, storage=f"sqlite:///{tmp_path / 'o' / 'search.db'}")


def fall_silent(tmp_path):
    """Let the claimed trials look as if nothing was heard of them for long."""
    with sqlite3.connect(tmp_path / "o" / "search.db") as database:
        database.execute("UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00'")


def test_the_best_method_wins_and_is_compared_on_a_split_of_its_own(
    search, starts, tmp_path, capfd
):
    assert search() == 0
    found = content(tmp_path)
    fates = {row["arm"]: row["fate"] for row in found["arms"]}
    assert fates["b"] == "the winner"
    assert fates["c"] == "worse than b at iteration 1"
    assert fates["a"] == "worse than b at iteration 1; the baseline"
    assert (tmp_path / "o" / "winner.yaml").read_text() == "b"
    final = found["final"]
    assert final["seeds"] == [4, 5]
    assert final["difference"]["value"] == pytest.approx(5)
    out = capfd.readouterr().out
    assert out.startswith(f"3 arms with 3 seeds are trained in '{tmp_path / 'o' / 'trainings'}'")
    assert f"Everything is in '{tmp_path / 'o'}'" in out
    assert "no method had an AP" not in out
    assert "On 'test' and with seeds 4, 5, which the search never saw, b is better than a" in out
    assert starts() == {
        **{(f"{arm}-seed_{seed}", 1): 1 for arm in "abc" for seed in (1, 2, 3)},
        **{(f"{arm}-seed_{seed}", 9): 1 for arm in "ab" for seed in (4, 5)},
    }


def test_too_few_images_for_an_interval_are_said(search, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(stage, "reached_ap", lambda *args: (played_ap(*args)[0], 2))
    assert search() == 0
    assert "NaN" not in (tmp_path / "o" / "search.json").read_text()
    out = capfd.readouterr().out
    assert "+5.0 without an interval, as too few" in out
    assert "nan," not in out


def test_a_rung_before_anything_is_learnt_is_said(search, tmp_path):
    text = (SPACE % "good").replace("LEVEL: 20", "LEVEL: 0").replace("LEVEL: 25", "LEVEL: 0.5")
    assert search(text=text.replace("LEVEL: 5,", "LEVEL: 0,")) == 0
    assert "At iteration 1 no method had an AP of 1: their order says little there." in str(
        content(tmp_path)
    )


def test_rungs_before_anything_is_learnt_are_said_once(search, tmp_path):
    text = (SPACE % "good").replace("LEVEL: 20", "LEVEL: 0").replace("LEVEL: 25", "LEVEL: 0")
    assert search(text=text.replace("LEVEL: 5,", "LEVEL: 0,")) == 0
    found = str(content(tmp_path))
    assert found.count("no method had an AP of 1") == 1
    assert "At iterations 1, 3, 9 no method had an AP of 1" in found


def test_a_search_of_one_rung_says_so(search, tmp_path, monkeypatch):
    monkeypatch.setattr(
        run_search, "check_arms", lambda space: searched_configs.Shared((9,), "val")
    )
    search()
    first = content(tmp_path)["sentences"][0]
    assert first == "3 methods were tried with seeds 1, 2, 3 and compared at iteration 9."


def test_the_same_again_trains_nothing(search, starts, tmp_path):
    search("--parallel", "3")
    before, found = starts(), content(tmp_path)
    assert search() == 0
    assert starts() == before
    assert content(tmp_path) == found


def test_identical_methods_are_undecided_and_go_on_together(search, starts, tmp_path, capfd):
    text = SPACE.replace("25", "20").replace("5", "20") % "good"
    text = text.replace("[4, 20]", "[4, 5]")
    assert search(text=text) == 0
    fates = [row["fate"] for row in content(tmp_path)["arms"]]
    assert fates == ["the winner; the baseline", "undecided from a", "undecided from a"]
    said = capfd.readouterr().out
    assert "by the AP at iteration 9.\nThat is the baseline: nothing is ahead of it.\n" in said
    assert starts()["c-seed_3", 9] == 1


def test_optuna_sees_what_was_tried(search, tmp_path):
    search()
    study = open_study(tmp_path)
    assert len(study.trials) == 9
    states = {trial.user_attrs["arm"]: trial.state for trial in study.trials}
    assert states == {"a": TrialState.PRUNED, "b": TrialState.WAITING, "c": TrialState.PRUNED}
    trial = study.trials[0]
    assert trial.params == {"loss": "a", "seed": 1}
    assert trial.intermediate_values == {1: pytest.approx(20.1)}


def test_a_failure_is_named_and_retried_on_demand(search, starts, tmp_path, capfd):
    text = (SPACE % "bad").replace("LEVEL: 20", "LEVEL: 25")
    assert search(text=text) == 0
    assert "failed with exit status 1: error: the loss is not finite" in str(content(tmp_path))
    num_starts = starts()["b-seed_1", 3]
    assert search("--show", text=text) == 0
    assert starts()["b-seed_1", 3] == num_starts
    assert search("--retry-failed", text=text) == 0
    assert starts()["b-seed_1", 3] == num_starts + 1


def test_a_failure_on_the_way_that_was_put_right_is_none(search, tmp_path):
    text = (SPACE % "bad").replace("LEVEL: 20", "LEVEL: 25")
    search(text=text)
    (tmp_path / "o" / "mended").touch()
    assert search("--retry-failed", text=text) == 0
    fates = {row["arm"]: row["fate"] for row in content(tmp_path)["arms"]}
    assert fates == {
        "a": "the winner; the baseline",
        "b": "undecided from a",
        "c": "worse than a at iteration 1",
    }


def test_a_failure_at_the_end_that_was_put_right_is_none(search, starts, tmp_path, capfd):
    assert search(text=SPACE % "bad") == 2
    assert "A training of the final comparison, b with seed 4, failed" in capfd.readouterr().err
    said = content(tmp_path)["sentences"][-1]
    assert said.startswith("The final comparison is not done, as b with seed 4 failed: ")
    (tmp_path / "o" / "mended").touch()
    for flags in (["--retry-failed"], ["--retry-failed"], []):
        assert search(*flags, text=SPACE % "bad") == 0
    assert starts()["b-seed_4", 9] == 2
    assert content(tmp_path)["final"] is not None


def test_where_all_fail_the_reason_is_said(search, capfd):
    text = (SPACE % "bad").replace("good", "bad")
    for level in ("20", "5,"):
        text = text.replace(f"LEVEL: {level}", "LEVEL: 25" + level[-1:].replace("0", ""))
    assert search(text=text) == 2
    assert "error: All trainings that were left failed" in capfd.readouterr().err


def test_where_those_that_are_left_fail_the_reason_is_theirs(search, capfd):
    text = (SPACE % "bad").replace("LEVEL: 20, KIND: good", "LEVEL: 25, KIND: bad")
    assert search(text=text) == 2
    assert "One failed with exit status 1: error: the loss is not finite" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_and_the_same_command_goes_on(number, search, starts, tmp_path, capfd):
    def press():
        while len(list(tmp_path.glob("o/*/*/ready"))) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=press)
    thread.start()
    text = SLOW.replace("good", "slow")
    assert search("--parallel", "2", text=text) == 128 + number
    thread.join()
    assert "The same command goes on." in capfd.readouterr().err
    assert sum(starts().values()) == 2
    assert "has not come to its end" in str(content(tmp_path))
    for trial in open_study(tmp_path).trials:
        assert trial.state == TrialState.WAITING
    assert set(starts()) == {("a-seed_1", 1), ("b-seed_1", 1)}


def test_a_killed_search_repeats_nothing_that_is_finished(search, starts, tmp_path, monkeypatch):
    text = SPACE.replace("25", "20.01") % "good"

    def die(*args, **kwargs):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(run_search, "_still_due", die)
        with pytest.raises(RuntimeError, match="killed"):
            search(text=text)
    before = starts()
    assert "The final comparison is not done yet" in str(content(tmp_path))
    assert search(text=text) == 0
    assert {key: starts()[key] for key in before} == before


def test_a_trial_of_a_program_that_died_is_taken_over(begin, tmp_path, monkeypatch):
    begin()
    url = f"sqlite:///{tmp_path / 'o' / 'search.db'}"
    storage = open_storage(url)
    shared = Shared(storage)
    task = Task(1, 1, "a")
    assert shared.claim([task])[0] == task  # and nothing is heard of it
    assert shared.claim([task]) is None
    fall_silent(tmp_path)
    assert shared.claim([task])[0] == task


def test_waiting_for_a_program_that_died_is_said_once(
    search, begin, starts, tmp_path, monkeypatch, capfd
):
    begin()
    silent = Shared(open_storage(f"sqlite:///{tmp_path / 'o' / 'search.db'}"))
    silent.claim([Task(1, 1, "a")])
    waits = []

    def wait(*_):
        waits.append(1)
        if len(waits) == 3:
            fall_silent(tmp_path)

    monkeypatch.setattr(launcher.Launcher, "wait", wait)
    assert search() == 0
    assert len(waits) == 3
    assert capfd.readouterr().out.count("Other programs train all that is due now") == 1
    assert starts()["a-seed_1", 1] == 1


def test_what_comes_too_late_of_a_trial_counts_for_nothing(begin, tmp_path):
    begin()
    storage = open_storage(f"sqlite:///{tmp_path / 'o' / 'search.db'}")
    shared, task = Shared(storage), Task(1, 1, "a")
    late, others = Measured(np.full(11, 1.0), 9, 2.0), Measured(np.full(11, 20.0), 9, 2.0)
    _, first = shared.claim([task])
    fall_silent(tmp_path)
    _, second = shared.claim([task])  # by another, as of the first one nothing was heard
    shared.report(first, task, late, is_end=False)
    shared.report_failure(first, task, "too late")
    shared.release(first, task, seconds=1.0)
    assert shared.read() == ({}, {})
    shared.report(second, task, others, is_end=False)
    assert shared.read()[0][task].ap[0] == 20.0


def test_a_program_is_heard_again_after_its_database_was_out_of_reach(begin, tmp_path, monkeypatch):
    begin()
    storage = open_storage(f"sqlite:///{tmp_path / 'o' / 'search.db'}")
    shared = Shared(storage)
    _, trial_id = shared.claim([Task(1, 1, "a")])
    beats, is_heard = [], threading.Event()

    def record(trial_id):
        beats.append(trial_id)
        if len(beats) == 1:
            raise StorageInternalError("no route")
        is_heard.set()

    monkeypatch.setattr(trials, "HEARTBEAT", 0.01)
    monkeypatch.setattr(storage, "record_heartbeat", record)
    with shared.beating(trial_id):
        assert is_heard.wait(60)


def test_a_trial_waits_where_what_it_has_reached_cannot_be_read(search, tmp_path, monkeypatch):
    def fail(folder, dataset):
        raise PermissionError(13, "Permission denied", str(folder))

    with monkeypatch.context() as patch:
        patch.setattr(stage, "reached_ap", fail)
        assert search() == 2
    assert {trial.state for trial in open_study(tmp_path).trials} == {TrialState.WAITING}
    assert search() == 0


class Shared(trials.Trials):
    """The trials of the search in SPACE, as another program sees them."""

    def __init__(self, storage):
        about = storage.get_study_user_attrs(storage.get_study_id_from_name("imbdet"))["imbdet"]
        arms = {name: Arm(name, name, {"loss": name}, None, [], {}) for name in "abc"}
        super().__init__(storage, "imbdet", about, arms)


def test_a_task_is_claimed_once(begin, tmp_path):
    begin()
    storage = open_storage(f"sqlite:///{tmp_path / 'o' / 'search.db'}")
    tasks = [Task(1, seed, arm) for seed in (1, 2, 3) for arm in "abc"]
    claimed, others = [], [Shared(storage) for _ in range(4)]

    def take(one):
        while found := one.claim(tasks):
            claimed.append(found[0])

    threads = [threading.Thread(target=take, args=(one,)) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(tasks)


def test_a_task_that_another_has_done_is_not_repeated(search, tmp_path):
    search()
    storage = open_storage(f"sqlite:///{tmp_path / 'o' / 'search.db'}")
    assert Shared(storage).claim([Task(1, 1, "a")]) is None


def test_a_trial_that_has_ended_since_it_was_seen_is_left(begin, tmp_path, monkeypatch):
    begin()
    shared, task = (
        Shared(open_storage(f"sqlite:///{tmp_path / 'o' / 'search.db'}")),
        Task(1, 1, "a"),
    )
    shared._add(task)
    seen = copy.deepcopy(shared._all())
    shared.prune(["a"])
    with monkeypatch.context() as patch:
        patch.setattr(shared, "_all", lambda: seen)
        assert shared.claim([task]) is None


def test_two_searches_on_one_storage_share_the_work(search, begin, starts, tmp_path):
    begin()
    (tmp_path / "space.yaml").write_text(SPACE % "good")
    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(starts().values()) == {1}
    assert content(tmp_path)["final"] is not None


BAD = {
    "one seed": ((SPACE % "good").replace("[1, 2, 3]", "[1]"), [], "with one seed"),
    "no end": ((SPACE % "good").split("final")[0], [], "says nothing of the end"),
    "one seed at the end": (
        (SPACE % "good").replace("[4, 5]", "[4]"),
        [],
        "says nothing of the end",
    ),
    "a seed for both": (
        (SPACE % "good").replace("[4, 5]", "[3, 5]"),
        [],
        "the seeds [3] are in seeds and in final.seeds",
    ),
    "no database": (SPACE % "good", ["--storage", "nothing://x"], "cannot be opened"),
    "a GPU that is none": (SPACE % "good", ["--gpus", "99"], "--gpus 99: no GPU has this number"),
    "GPUs twice": (SPACE % "good", ["--ray", "auto", "--gpus", "0"], "--gpus is for this machine"),
    "nothing to begin with": (
        SPACE % "good",
        ["--show", "--retry-failed"],
        "--show trains nothing",
    ),
    "no URL": (SPACE % "good", ["--storage", "file.db"], "cannot be opened"),
}


@pytest.mark.parametrize(("text", "flags", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_sentence(text, flags, message, search, capfd):
    assert search(*flags, text=text) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_driver_that_is_not_installed_is_named(search, monkeypatch, capfd):
    for name in ("psycopg", "psycopg2"):  # the name depends on the version of SQLAlchemy
        monkeypatch.setitem(sys.modules, name, None)
    assert search("--storage", "postgresql://user@host/x") == 2
    error = capfd.readouterr().err
    assert "needs a library that is not installed" in error
    assert "psycopg" in error.split("):")[0]


def test_a_file_in_place_of_the_folder_is_one_sentence(search, tmp_path, capfd):
    (tmp_path / "file").touch()
    for output in ("file", "file/below"):
        assert search(output=output) == 2
        assert "file' cannot be written to" in capfd.readouterr().err.replace("/below", "")


@pytest.mark.parametrize("budget", [["--hours", "nan"], ["--hours", "0"], ["--iterations", "0"]])
def test_a_budget_of_nothing_is_refused(budget, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["search", "--space", "x.yaml", "--output", str(tmp_path), *budget])
    assert budget[0] in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--retry-failed"], ["--storage", "sqlite:///x.db"]])
def test_a_grid_refuses_what_it_would_not_look_at(flags, tmp_path, capfd):
    words = ["search", "--space", "x.yaml", "--output", str(tmp_path), "--grid"]
    assert main([*words, *flags]) == 2
    assert "are of a search within a budget" in capfd.readouterr().err


def test_a_budget_too_small_is_one_sentence(search, capfd):
    assert search(budget=8) == 2
    error = capfd.readouterr().err
    assert "The budget of 8 iterations is too small for one rung: 3 arms with 3 seeds" in error


def test_another_space_is_refused(search, begin, capfd):
    begin()
    assert search(text=(SPACE % "good").replace("LEVEL: 20", "LEVEL: 21")) == 2
    error = capfd.readouterr().err
    assert "holds a search of something else, which began with other arms or another order" in error
    assert "another --storage" in error


def test_another_order_of_the_arms_is_refused(search, begin, capfd):
    begin()
    text = SPACE.replace("    a: {LEVEL: 20, KIND: good}\n", "") % "good"
    text = text.replace("seeds: [1,", "    a: {LEVEL: 20, KIND: good}\nseeds: [1,")
    assert search(text=text) == 2
    error = capfd.readouterr().err
    assert "which began with other arms or another order of them. Bring the space" in error


def test_another_final_comparison_is_refused(search, begin, capfd):
    begin()
    assert search(text=(SPACE % "good").replace("test, seeds: [4, 5]", "other, seeds: [6, 7]")) == 2
    error = capfd.readouterr().err
    assert "which began with other final.seeds and final.dataset or another order of them." in error


def test_a_search_and_a_grid_have_folders_of_their_own(search, begin, tmp_path, capfd):
    begin()
    table = (tmp_path / "o" / "table.csv").read_text()
    words = ["search", "--grid", "--space", str(tmp_path / "space.yaml"), "--output"]
    assert main([*words, str(tmp_path / "o")]) == 2
    assert f"'{tmp_path / 'o'}' holds a search" in capfd.readouterr().err
    assert (tmp_path / "o" / "table.csv").read_text() == table
    (tmp_path / "grid" / "a-seed_1").mkdir(parents=True)
    (tmp_path / "grid" / "a-seed_1" / "grid.json").touch()
    assert search(output="grid") == 2
    assert f"'{tmp_path / 'grid'}' holds a grid" in capfd.readouterr().err


def test_a_search_that_was_not_begun_is_not_shown(search, begin, tmp_path, capfd):
    for flags in ([], ["--storage", f"sqlite:///{tmp_path / 'none.db'}"]):
        assert search("--show", *flags) == 2
        assert f"error: There is no search in '{tmp_path / 'o'}'" in capfd.readouterr().err
        assert sorted(path.name for path in tmp_path.iterdir()) == ["program.py", "space.yaml"]
    begin()
    assert search("--show") == 0
    storage = f"sqlite:///{tmp_path / 'o' / 'search.db'}?timeout=9"
    assert search("--show", "--storage", storage) == 0
    assert search("--show", "--storage", storage, output="mistyped") == 2
    assert not (tmp_path / "mistyped").exists()


def test_the_path_of_the_folder_may_have_any_characters(search, tmp_path):
    folder = "a search? 50% #1 \u00e4&b=c"
    assert search(output=folder) == 0
    assert (tmp_path / folder / "search.db").is_file()
    assert search("--show", output=folder) == 0


def test_a_storage_whose_trainings_are_elsewhere_is_refused(search, tmp_path, capfd):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    assert search("--storage", storage) == 0
    for flags in ([], ["--show"]):
        (tmp_path / "other").mkdir(exist_ok=True)
        assert search("--storage", storage, *flags, output="other") == 2
        error = capfd.readouterr().err
        assert f"holds a search whose trainings are not in '{tmp_path / 'other'}'" in error
        assert list((tmp_path / "other").iterdir()) == []
    assert search("--storage", storage) == 0


def test_programs_that_begin_together_make_one_storage(tmp_path):
    url, barrier = sqlite_url(tmp_path / "search.db"), threading.Barrier(6)

    def open_together(_):
        barrier.wait()
        return open_storage(url).get_all_studies()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(open_together, range(6))) == [[]] * 6


def test_a_storage_of_another_form_is_refused(search, begin, tmp_path, monkeypatch, capfd):
    begin()
    monkeypatch.setattr(trials, "VERSION", trials.VERSION + 1)
    assert search() == 2
    assert "holds a search of another version of imbdet" in capfd.readouterr().err


def test_a_storage_of_another_optuna_is_refused(search, begin, tmp_path, capfd):
    begin()
    with sqlite3.connect(tmp_path / "o" / "search.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
        database.execute("UPDATE version_info SET schema_version = 1")
    assert search() == 2
    assert "is of another version of Optuna than" in capfd.readouterr().err


def test_a_damaged_storage_is_one_sentence(search, begin, tmp_path, capfd):
    begin()
    file = tmp_path / "o" / "search.db"
    whole = file.read_bytes()
    read_only = f"sqlite:///file:{file}?mode=ro&uri=true"
    for damaged, flags in (
        (whole[: len(whole) // 2], []),
        (whole[: len(whole) // 2], ["--show"]),
        (b"no database", []),
        (whole, ["--storage", read_only]),
    ):
        file.write_bytes(damaged)
        capfd.readouterr()
        assert search(*flags) == 2
        error = capfd.readouterr().err
        assert error.startswith("error: The storage 'sqlite:///")
        assert "search.db" in error
        assert "cannot be used (" in error
        assert error.count("\n") == 1


def test_more_budget_lets_others_go_on(search, starts, capfd):
    text = (SPACE % "good").replace("25", "20").replace("LEVEL: 5", "LEVEL: 20")
    search(text=text, budget=9)
    assert len([key for key in starts() if key[1] == 3]) == 0
    said = re.search(r"left alone .* with --iterations (\d+) compares", capfd.readouterr().out)
    assert search(text=text, budget=int(said[1])) == 0
    assert len({key[0][0] for key in starts() if key[1] == 3}) == 2
    assert "left alone" not in capfd.readouterr().out
    assert search(text=text, budget=1000) == 0
    assert starts()["a-seed_1", 3] == 1
    assert starts()["a-seed_1", 1] == 1


def test_without_optuna_the_extra_is_named(search, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert search() == 2
    assert "pip install 'imbdet[search]'" in capfd.readouterr().err


def test_a_folder_that_may_not_be_written_to_has_no_lock(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(lock, "open", refuse, raising=False)
    assert not is_locked(tmp_path)


def test_a_folder_is_locked_while_its_training_lives(tmp_path):
    code = "import fcntl, sys; f = open(sys.argv[1], 'a+'); fcntl.lockf(f, fcntl.LOCK_EX); "
    code += "print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path / ".lock")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        process.stdout.readline()
        assert is_locked(tmp_path)
        process.kill()
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "nothing")
