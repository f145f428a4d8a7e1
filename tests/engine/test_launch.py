"""Jobs of several processes: how they start, agree, and end."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest
import torch.multiprocessing

import train_net
from imbdet.engine import agreement, member, supervisor
from imbdet.engine.launch import TORCHRUN_VARIABLES
from imbdet.engine.lock import lock_folder
from imbdet.errors import UserError
from tests.engine.jobs import arguments, start
from tests.messages import assert_says, error_of
from tests.ports import reserve_port

# isort: split
from detectron2.utils import comm

# Seconds within which a busy machine gets anything done that takes no time.
SLOW = 60.0


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    monkeypatch.setattr(supervisor, "GRACE", 3.0)
    # The process that knows the cause reports it first, however busy the machine is.
    monkeypatch.setattr(member, "NOTICE_TIME", SLOW)


@pytest.fixture(autouse=True)
def _own_datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))


def note_pid(folder):
    (Path(folder) / str(comm.get_rank())).write_text(str(os.getpid()))
    comm.synchronize()


def assert_all_gone(folder, within=0.0):
    """Assert that the processes of a job are gone after at most ``within`` seconds."""
    pids = [file.read_text() or file.name for file in Path(folder).iterdir()]
    deadline = time.monotonic() + within
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not list(filter(is_running, pids))


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return False
    return state != "Z"  # ended, but not yet waited for


def test_two_processes_train_as_one_job(tmp_path, capfd):
    assert train_net.main(arguments(tmp_path / "o", "--num-processes", "2")) == 0
    assert capfd.readouterr().err == ""
    assert (tmp_path / "o" / "model_final.pth").exists()
    assert (tmp_path / "o" / "log.txt.rank1").exists()


def note_threads(args):
    (args.folder / str(comm.get_rank())).write_text(str(torch.get_num_threads()))


def test_processes_share_the_threads(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # macOS lacks it
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        assert start(note_threads, folder=tmp_path) == 0
    finally:
        torch.set_num_threads(before)
    assert [(tmp_path / name).read_text() for name in ("0", "1")] == ["2", "2"]


def torchrun_environment(rank, port):
    values = (rank, rank, 2, 2, "127.0.0.1", port)
    variables = dict(zip(TORCHRUN_VARIABLES, map(str, values), strict=True))
    return {**os.environ, **variables}


@pytest.fixture
def free_port():
    with reserve_port() as holder:
        yield holder.getsockname()[1]


def _as_torchrun_does(rank, argv, port):
    os.environ.update(torchrun_environment(rank, port))
    sys.exit(train_net.main(argv))


def test_torchruns_processes_train_as_one_job(free_port, tmp_path):
    processes = run_in_processes(_as_torchrun_does, arguments(tmp_path / "o"), free_port)
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "o" / "model_final.pth").exists()


@pytest.fixture
def torchruns_store():
    """The port of the store that torchrun's own process has; it outlives those that it starts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        store = torch.distributed.TCPStore(
            "127.0.0.1",
            port,
            is_master=True,
            wait_for_workers=False,
            master_listen_fd=os.dup(listener.fileno()),
        )
        yield port
        del store


def attempt(number, argv, port):
    """Start the only process of a job as torchrun does for the ``number``-th time."""

    def job(rank):
        os.environ.update(torchrun_environment(rank, port))
        os.environ.update(
            WORLD_SIZE="1",
            LOCAL_WORLD_SIZE="1",
            TORCHELASTIC_USE_AGENT_STORE="True",
            TORCHELASTIC_RESTART_COUNT=str(number),
        )
        sys.exit(train_net.main(argv))

    return run_in_processes(job, num_processes=1)[0].exitcode


def test_torchruns_restart_goes_on_with_a_training_that_had_begun(torchruns_store, tmp_path):
    keys = {"SOLVER.CHECKPOINT_PERIOD": 1, "SOLVER.MAX_ITER": 2}
    fails = {"DATASETS.TEST": "('shapes_val', 'nowhere')"}
    assert attempt(0, arguments(tmp_path, **keys, **fails), torchruns_store) == 2  # not begun
    assert attempt(1, arguments(tmp_path, **keys), torchruns_store) == 0
    keys["SOLVER.MAX_ITER"] = 3
    assert attempt(2, arguments(tmp_path, **keys), torchruns_store) == 0
    assert "Continuing after iteration 2 of 3" in (tmp_path / "log.txt").read_text()


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_torchruns_restart_repeats_a_refusal(torchruns_store, tmp_path, capfd):
    (tmp_path / "model_final.pth").write_bytes(b"of another run")
    before = contents(tmp_path)
    for number in range(2):
        argv = arguments(tmp_path, **{"SOLVER.BASE_LR": 0.5})
        assert attempt(number, argv, torchruns_store) == 2
        assert "already holds a run" in capfd.readouterr().err
    assert contents(tmp_path) == before


def test_torchruns_restart_evaluates_the_same_weights(torchruns_store, tmp_path, capfd):
    assert attempt(0, arguments(tmp_path, **{"SOLVER.MAX_ITER": 1}), torchruns_store) == 0
    for number in range(1, 3):
        argv = arguments(tmp_path, "--eval-only", **{"MODEL.WEIGHTS": "nowhere.pth"})
        assert attempt(number, argv, torchruns_store) == 2
        assert "nowhere.pth" in capfd.readouterr().err


def run_in_processes(function, *args, num_processes=2):
    """Call a function of the rank in processes, and return these when they have ended."""
    processes = torch.multiprocessing.start_processes(
        function, args, nprocs=num_processes, join=False, start_method="fork"
    ).processes
    for process in processes:
        process.join()
    return processes


def test_a_mistake_is_one_sentence_of_one_process(tmp_path, capfd):
    argv = arguments(tmp_path / "o", "--num-processes", "2", **{"MODEL.CLS_LOSS.NAME": "focl"})
    assert train_net.main(argv) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: ")
    assert "Did you mean 'focal'" in error
    assert error.count("\n") == 1


def test_a_batch_that_cannot_be_shared(tmp_path, capfd):
    argv = arguments(tmp_path / "o", "--num-processes", "2", **{"SOLVER.IMS_PER_BATCH": 3})
    assert train_net.main(argv) == 2
    assert "SOLVER.IMS_PER_BATCH is 3, which 2 processes" in capfd.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_mistake_of_one_ends_all(tmp_path, capfd):
    def run(args):
        note_pid(tmp_path)
        if comm.get_rank() == 1:
            raise UserError("Image 7 is broken.")
        comm.synchronize()

    assert start(run) == 2
    assert capfd.readouterr().err == "error: Image 7 is broken.\n"
    assert_all_gone(tmp_path)


def test_a_bug_of_one_has_one_traceback(tmp_path, capfd):
    def run(args):
        note_pid(tmp_path)
        if comm.get_rank() == 1:
            raise ZeroDivisionError("of rank 1")
        comm.synchronize()

    assert start(run) == 1
    error = capfd.readouterr().err
    assert error.startswith("Rank 1:\nTraceback")
    assert error.count("Traceback") == 1
    assert_all_gone(tmp_path)


def test_a_killed_process_is_named(tmp_path, capfd):
    def run(args):
        note_pid(tmp_path)
        if comm.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        comm.synchronize()

    assert start(run) == 1
    assert capfd.readouterr().err == "error: Rank 1 was killed by SIGKILL; the others were ended.\n"
    assert_all_gone(tmp_path)


@pytest.mark.parametrize("culprit", [0, 1])
def test_a_hanging_process_is_named_in_time(culprit, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(member, "NOTICE_TIME", 1.0)

    def run(args):
        note_pid(tmp_path)
        if comm.get_rank() == culprit:
            os.kill(os.getpid(), signal.SIGSTOP)
        comm.synchronize()

    begin = time.monotonic()
    assert start(run, timeout=5.0) == 1
    assert time.monotonic() - begin < SLOW
    error = capfd.readouterr().err
    assert_says(error, "error: Rank", "lost contact", f"No word from rank {culprit}: it hangs")
    assert error.count("\n") == 1
    assert_all_gone(tmp_path)


def test_signals_reach_all_processes(tmp_path, capfd):
    def run(args):
        note_pid(tmp_path)
        if comm.get_rank() == 0:
            os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(2 * SLOW)

    assert start(run) == 143
    assert capfd.readouterr().err == "Stopped.\n"
    assert_all_gone(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_processes_that_do_not_listen_yet_are_ended(number, tmp_path, monkeypatch, capfd):
    def not_yet(*args, **kwargs):  # as at imports, of a process that starts afresh
        (tmp_path / str(os.getpid())).touch()  # it may be killed before it writes into the file
        os.kill(os.getpid(), number)  # it is held back
        os.kill(os.getppid(), number)
        time.sleep(2 * SLOW)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(supervisor, "take_part", not_yet)
    begin = time.monotonic()
    assert start(print) == 128 + number
    signal.signal(signal.SIGINT, before)
    assert time.monotonic() - begin < SLOW
    assert capfd.readouterr().err == "Stopped.\n"
    assert_all_gone(tmp_path)


def test_no_process_survives_who_started_it(tmp_path):
    def run(args):
        note_pid(tmp_path)
        if comm.get_rank() == 0:
            os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(2 * SLOW)

    def job(rank):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as under nohup
        start(run, num_processes=2)

    (parent,) = run_in_processes(job, num_processes=1)
    assert parent.exitcode == -signal.SIGKILL
    assert_all_gone(tmp_path, within=SLOW)


def test_other_configs_are_named(capfd):
    def run(args):
        agreement.require_agreement(f"A: 1\nB: {comm.get_rank() // 2}\n")

    assert start(run, num_processes=3) == 2
    assert "Rank 2 differs from rank 0 in the config ('B: 1' for 'B: 0')" in capfd.readouterr().err


def test_other_code_is_named(capfd):
    def run(args):
        if comm.get_rank() == 1:
            agreement.hash_sources = lambda folder: "abc"
        agreement.require_agreement("A: 1")

    assert start(run) == 2
    assert_says(capfd.readouterr().err, "Rank 1 differs from rank 0", "source files (abc for")


def test_every_change_of_the_code_changes_its_hash(tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    before = agreement.hash_sources(tmp_path)
    (tmp_path / "a.txt").write_text("no code")
    assert agreement.hash_sources(tmp_path) == before
    (tmp_path / "a.py").write_text("x = 2")
    assert agreement.hash_sources(tmp_path) != before


def test_a_folder_is_for_one_job(tmp_path, capfd):
    lock_folder(tmp_path)
    lock_folder(tmp_path)

    def run(args):
        if comm.get_rank() == 0:
            lock_folder(tmp_path)
        comm.synchronize()

    assert start(run) == 2
    assert_says(capfd.readouterr().err, f"'{tmp_path}' is in use by process {os.getpid()} on")


def test_a_lock_is_free_after_any_end(tmp_path):
    def run(args):
        if comm.get_rank() == 0:
            lock_folder(tmp_path)
            os.kill(os.getpid(), signal.SIGKILL)
        comm.synchronize()

    assert start(run) == 1
    lock_folder(tmp_path)


@pytest.mark.usefixtures("restored_loggers")
def test_a_locked_folder_is_left_alone_but_for_evaluation(tmp_path, capsys):
    # Another program holds the lock.
    code = "import fcntl; f = open('.lock', 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=tmp_path, stdin=PIPE, stdout=PIPE) as owner:
        owner.stdout.readline()
        assert train_net.main(arguments(tmp_path)) == 2
        assert "is in use by another process" in capsys.readouterr().err
        assert [file.name for file in tmp_path.iterdir()] == [".lock"]
        weights = {"MODEL.WEIGHTS": "nowhere.pth"}
        assert train_net.main(arguments(tmp_path, "--eval-only", **weights)) == 2
        assert "nowhere.pth" in capsys.readouterr().err


SILENT = reserve_port()
BAD_LAUNCHES = {
    "no GPUs": (["--num-gpus", "99"], "--num-gpus is 99"),
    "GPUs of none": (["--num-gpus", "0"], "--num-gpus is 0"),
    "both": (["--num-gpus", "2", "--num-processes", "2"], "give one"),
    "negative": (["--num-processes", "-1"], "--num-processes is -1"),
    "nowhere to meet": (
        ["--num-processes", "1", "--num-machines", "2"],
        "needs --dist-url tcp://HOST:PORT",
    ),
    "no URL": (["--num-processes", "2", "--dist-url", "here"], "write tcp://HOST:PORT"),
    "no machine": (["--num-processes", "1", "--machine-rank", "1"], "--machine-rank is 1"),
    "no time": (["--timeout", "0"], "--timeout is 0"),
    "alone": (
        "--num-processes 1 --num-machines 2 --machine-rank 1 --timeout 0.1 "
        f"--dist-url tcp://127.0.0.1:{SILENT.getsockname()[1]}".split(),
        "The machine of rank 0 does not answer",
    ),
}


@pytest.mark.parametrize(("argv", "message"), BAD_LAUNCHES.values(), ids=BAD_LAUNCHES.keys())
def test_a_job_that_cannot_start_says_why(argv, message, capsys):
    assert train_net.main(argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_port_in_use_is_said():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        message = error_of(start, print, dist_url=f"tcp://127.0.0.1:{port}")
    assert_says(message, f"Port {port} of --dist-url cannot be used", "in use")


def test_two_machines_meet(free_port, tmp_path):
    def run(args):
        (tmp_path / str(comm.get_rank())).write_text(f"{comm.get_local_rank()}")

    url = f"tcp://127.0.0.1:{free_port}"

    def machine(rank):
        sys.exit(start(run, dist_url=url, num_machines=2, machine_rank=rank))

    assert [process.exitcode for process in run_in_processes(machine)] == [0, 0]
    assert [(tmp_path / str(rank)).read_text() for rank in range(4)] == ["0", "1", "0", "1"]
