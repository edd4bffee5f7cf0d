"""Sweeps: jobs that misbehave cost themselves only, and nothing that is done is done twice."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from places import STANDINS

from condenser.cli import train as cli
from condenser.errors import ConfigError
from condenser.pipeline.plan import Plan
from condenser.runs import ranks, records, status
from condenser.sweep.composer import Composer
from condenser.sweep.gpu_allocator import GpuAllocator, gpus, wanted
from condenser.sweep.job_state import JobState
from condenser.sweep.jobs import Job, seen_by_hydra
from condenser.sweep.launch import Settings
from condenser.sweep.pool import Pool
from condenser.sweep.process import SOURCE, environment
from condenser.sweep.progress import Board, duration, heading, left

# --- the pool, with jobs that are a shell's


def job(folder: Path, number: int = 0, **trainer: Any) -> Job:
    """A job without a config of its own; the shell does what it is told in its place."""
    settings = {"accelerator": "auto", "devices": 1} | trainer
    config = {"runs": str(folder), "name": "sweep", "run": f"job{number}", "trainer": settings}
    config |= {"data": {"root": None}, "recipe": {"stages": []}}
    return Job(number, (f"seed={number}",), Plan(config, ()), DictConfig({}), f"job{number}")


def well(one: Job) -> str:
    """What a job's shell says to have it done."""
    folder = one.folder
    record = records.Record({"run": one.name, "stage": "student"}).line()
    done = json.dumps({"state": "done", "hash": one.plan.digest, "records": 1})
    return f"echo '{record}' > '{folder}/records.jsonl'; echo '{done}' > '{folder}/status.json'"


def pool(script: Callable[[Job], str], **settings: Any) -> Pool:
    return Pool(command=lambda one: ["sh", "-c", script(one)], **{"grace": 0.2} | settings)


def gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked for its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(truth: Callable[[], Any], seconds: float = 30) -> None:
    limit = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)


def test_each_end_of_a_job_is_told_and_costs_the_others_nothing(tmp_path: Path) -> None:
    scripts = {
        1: "echo one; echo two; exit 3",
        2: "kill -KILL $$",
        3: "trap '' TERM; sleep 300 & echo $! > child; sleep 300 & wait; wait",
        4: "exit 0",
    }
    attempts = [JobState(job(tmp_path, number)) for number in range(6)]
    for attempt in attempts:
        attempt.job.folder.mkdir(parents=True)

    def script(one: Job) -> str:
        return f"cd '{one.folder}'; " + scripts.get(one.number, well(one))

    pool(script, slots=6, timeout=1.0).run(attempts)
    assert [a.state for a in attempts] == ["done", *["failed"] * 4, "done"]
    assert [a.reason for a in attempts[1:5]] == [
        "exit code 3, two",
        "killed by SIGKILL (out of memory?)",
        "not done after 0.0166667 minutes",
        "ended before its records were complete",
    ]
    assert attempts[1].words == ["one", "two"]
    child = int((attempts[3].job.folder / "child").read_text())
    wait_for(lambda: gone(child))
    said = status.read(attempts[1].job.folder)
    assert (said["state"], said["exit"], said["attempts"]) == ("failed", 3, 1)
    assert said["reason"] == attempts[1].reason and said["overrides"] == ["seed=1"]


def test_a_job_that_failed_is_tried_again_so_often_and_the_tries_are_counted(
    tmp_path: Path,
) -> None:
    one = job(tmp_path)
    script = f"cd '{one.folder}'; echo x >> tries; [ $(wc -l < tries) -ge 3 ] && {well(one)}"
    attempt = JobState(one)
    pool(lambda _: script, retries=1).run([attempt])
    assert (attempt.state, attempt.tries) == ("failed", 2)
    again = JobState(one)
    pool(lambda _: script + "; true", retries=1).run([again])
    assert (again.state, again.tries) == ("done", 1)
    assert (one.folder / "tries").read_text() == "x\n" * 3
    wait_for(lambda: status.read(one.folder)["state"] == "done")


def test_what_is_done_is_kept_unless_its_config_or_its_records_are_others(tmp_path: Path) -> None:
    one = job(tmp_path)

    def run(which: Job) -> str:
        attempt = JobState(which)
        pool(well).run([attempt])
        return attempt.state

    assert [run(one), run(one)] == ["done", "kept"]
    other = replace(one, plan=Plan({**one.plan.config, "seed": 1}, ()))
    assert [run(other), run(other)] == ["done", "kept"]
    (one.folder / records.FILE).write_text("{}\n")
    assert [run(other), run(other)] == ["done", "kept"]


def test_two_sweeps_in_one_folder_share_the_work(tmp_path: Path) -> None:
    jobs = [job(tmp_path, number) for number in range(8)]

    def script(one: Job) -> str:
        return f"echo {one.number} >> '{tmp_path}/started'; sleep 0.2; {well(one)}"

    sweeps = [[JobState(one) for one in jobs] for _ in range(2)]
    threads = [
        threading.Thread(target=pool(script, slots=2).run, args=(sweep,)) for sweep in sweeps
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted((tmp_path / "started").read_text().split()) == [str(n) for n in range(8)]
    assert all(attempt.ended_well for sweep in sweeps for attempt in sweep)
    assert all(any(a.state == "done" for a in sweep) for sweep in sweeps)


def test_a_run_that_another_process_holds_is_waited_for(tmp_path: Path) -> None:
    one = job(tmp_path)
    (one.folder.parent / ".locks").mkdir(parents=True)
    changes: list[str] = []
    with FileLock(one.folder.parent / ".locks/job0.lock"):
        attempt = JobState(one)
        waiting = pool(well, changed=lambda a: changes.append(a.state))
        thread = threading.Thread(target=waiting.run, args=([attempt],))
        thread.start()
        wait_for(lambda: changes)
        assert changes == ["elsewhere"] and not one.folder.exists()
    thread.join(30)
    assert changes == ["elsewhere", "running", "done"]


def test_gpus_go_to_jobs_in_turn_and_no_job_without_need_gets_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 7,9")
    assert gpus() == ["4", "7", "9"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == []
    devices = [{}, {"devices": 2}, {"accelerator": "cpu"}, {"accelerator": "gpu"}]
    attempts = [JobState(job(tmp_path, number, **own)) for number, own in enumerate(devices)]
    assert [wanted(attempt.job.plan.config["trainer"]) for attempt in attempts] == [1, 2, 0, 1]

    def script(one: Job) -> str:  # the first three wait for each other: they run at once
        own = f"echo $CUDA_VISIBLE_DEVICES > '{one.folder}/seen'"
        return f"{own}; until [ -e '{tmp_path}/sweep/job2/seen' ]; do sleep 0.05; done; {well(one)}"

    pool(script, slots=3, gpus=["4", "7", "9"]).run(attempts)
    seen = [(attempt.job.folder / "seen").read_text().strip() for attempt in attempts]
    assert seen[:3] == ["4", "7,9", ""] and seen[3] in ("4", "7", "9")
    crowded = GpuAllocator(["0", "1"])
    assert [crowded.take(1) for _ in range(4)] == [["0"], ["1"], ["0"], ["1"]]


def test_a_job_does_not_take_itself_for_a_rank_of_its_launcher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    foreign = "RANK LOCAL_RANK WORLD_SIZE MASTER_PORT TORCHELASTIC_RUN_ID PL_GLOBAL_SEED"
    foreign += " SLURM_NTASKS SLURM_PROCID NODE_RANK GROUP_RANK ROLE_WORLD_SIZE WANDB_RUN_ID"
    for name in foreign.split():
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    own = environment(None, 2)
    assert not set(foreign.split()) & set(own)
    assert (own["WANDB_MODE"], own["SLURM_JOB_ID"], own["OMP_NUM_THREADS"]) == ("offline", "5", "2")


# --- what is shown


def test_the_board_counts_names_the_best_and_says_how_long(tmp_path: Path) -> None:
    attempts = [JobState(job(tmp_path, number)) for number in range(6)]
    for attempt, accuracy in zip(attempts[:2], (0.5, 0.75), strict=True):
        attempt.state, attempt.seconds = "done", 60.0
        attempt.record = records.Record({"val/accuracy": accuracy})
    attempts[2].state, attempts[2].reason = "failed", "exit code 1"
    attempts[3].state, attempts[3].seconds = "running", 30.0
    assert left(attempts, slots=2) == (3 * 60 - 30) / 2
    line = heading(attempts, slots=2)
    assert line == "2 of 6 done · 1 running · 1 failed · best val 75.00% job1 · about 75 s left"
    assert [row.job.number for row in Board(attempts, 2).rows(3)] == [3, 2, 1]
    assert [duration(s) for s in (3, 600, 9000)] == ["3 s", "10 min", "2.5 h"]


# --- the command line


def sweep(
    folder: Path, *words: str, trouble: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    """``train.py -m`` with jobs that take no time and misbehave as ``trouble`` says."""
    command, own = called(folder, *words, trouble=trouble, **env)
    return subprocess.run(
        command, env=own, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def called(
    folder: Path, *words: str, trouble: str = "", **env: str
) -> tuple[list[str], dict[str, str]]:
    own = {**os.environ, "PYTHONPATH": str(STANDINS / "jobs"), "TROUBLE": trouble, **env}
    command = [sys.executable, str(SOURCE / "train.py"), "-m", f"runs={folder}"]
    return [*command, *words], own


def started(folder: Path) -> list[str]:
    """Which seeds were started since this was asked last."""
    file = folder / "default/started"
    seeds = sorted(line.partition(".")[0] for line in file.read_text().split())
    file.unlink()
    return seeds


def test_a_sweep_survives_its_jobs_and_the_same_command_runs_just_those(tmp_path: Path) -> None:
    words = ("seed=0,1,2,3", "hydra.launcher.jobs=2")
    done = sweep(tmp_path, *words, trouble="1:kill 2:raise 3:exit")
    assert done.returncode == 1
    assert started(tmp_path) == ["0", "1", "2", "3"]
    last = "3 of 4 jobs failed; the same command runs just those:\n  python src/train.py -m"
    for said in (
        "seed=1: killed by SIGKILL",
        "seed=2: exit code 1, RuntimeError: the third law is broken\n",
        "seed=3: ended before its records were complete",
        f"\ncondenser: {last}",
    ):
        assert said in done.stderr
    assert done.stdout.count("done in") == 1 and "[4/4]" in done.stdout
    again = sweep(tmp_path, *words)
    assert again.returncode == 0, again.stderr
    assert started(tmp_path) == ["1", "2", "3"]
    assert again.stdout.count("done before") == 1
    own = json.loads((tmp_path / "default/seed=3/environment-0.json").read_text())
    assert own["OMP_NUM_THREADS"] and own["PYTHONUNBUFFERED"] == "1"
    kept = status.read(tmp_path / "default/seed=1")
    assert (kept["state"], kept["attempts"], kept["exit"], kept["records"]) == ("done", 2, 0, 1)


def test_a_job_has_as_long_as_it_was_given(tmp_path: Path) -> None:
    limit = "hydra.launcher.timeout_min=0.05"
    done = sweep(tmp_path, "seed=3", limit, "hydra.launcher.grace_s=0.2", trouble="3:hang")
    assert done.returncode == 1 and "seed=3: not done after 0.05 minutes" in done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_sweep_leaves_no_process_behind(tmp_path: Path, how: signal.Signals) -> None:
    command, env = called(tmp_path, "seed=3,4", "hydra.launcher.grace_s=0.3", trouble="3:hang")
    launcher = subprocess.Popen(
        command,
        env=env,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    pids = tmp_path / "default/seed=3/pids"
    wait_for(lambda: pids.is_file() and pids.read_text(), 60)
    launcher.send_signal(how)
    shown, said = launcher.communicate(timeout=30)
    main, child = map(int, pids.read_text().split())
    wait_for(lambda: gone(main))
    if how != signal.SIGKILL:
        again = shlex.join(["python", *command[1:]])
        assert said == f"condenser: interrupted; rerun the same command to resume: {again}\n"
        assert launcher.returncode == 128 + how
        assert shown.splitlines()[-2:] == ["[1/2] stopped: seed=3", "0 of 2 done · 1 stopped"]
        wait_for(lambda: gone(child))
        assert status.read(pids.parent)["state"] == "stopped"
    else:
        os.kill(child, signal.SIGKILL)  # only the kernel's word reaches a job, not what it started
    assert not (tmp_path / "default/seed=4").exists()


def test_in_one_process_a_sweep_is_checked_told_and_skipped_alike(tmp_path: Path) -> None:
    words = ("hydra/launcher=basic", "seed=0,1")
    done = sweep(tmp_path, *words, trouble="1:raise")
    assert done.returncode == 1 and started(tmp_path) == ["0", "1"]
    assert f"seed=1 runs={tmp_path}: RuntimeError: the third law is broken\n" in done.stderr
    assert done.stderr.endswith("seed=0,1\n") and "1 of 2 jobs failed" in done.stderr
    again = sweep(tmp_path, *words)
    assert again.returncode == 0, again.stderr
    assert started(tmp_path) == ["1"] and again.stdout.count("done before") == 1


@pytest.mark.parametrize(
    ("nodes", "tasks", "ranks"), [(1, 2, [(0, 0), (0, 1)]), (2, 1, [(0, 0), (1, 0)])]
)
def test_slurm_runs_every_job_with_all_its_ranks(
    tmp_path: Path, nodes: int, tasks: int, ranks: list[tuple[int, int]]
) -> None:
    path = f"{STANDINS / 'slurm'}:{os.environ['PATH']}"
    words = (
        "hydra/launcher=slurm",
        f"hydra.launcher.nodes={nodes}",
        f"hydra.launcher.tasks_per_node={tasks}",
        "hydra.launcher.partition=short",
        "+hydra.launcher.sbatch.mail-type=END",
        "seed=0,1",
    )
    cluster = tmp_path / "cluster"
    own = {"PATH": path, "SLURM_STANDIN": str(cluster), "WANDB_RUN_ID": "x"}
    done = sweep(tmp_path, *words, trouble="1:raise", **own)
    assert done.returncode == 1
    assert "seed=1: RuntimeError: the third law is broken\n" in done.stderr
    assert "1 of 2 jobs failed" in done.stderr
    script = next(cluster.glob("*.script")).read_text()
    assert "#SBATCH --partition=short" in script and "#SBATCH --mail-type=END" in script
    folder = tmp_path / "default/seed=0"
    for rank, (node, local) in enumerate(ranks):
        env = json.loads((folder / f"environment-{rank}.json").read_text())
        place = [env[f"SLURM_{key}"] for key in ("NODEID", "LOCALID", "NTASKS")]
        assert place == [str(node), str(local), "2"] and "WANDB_RUN_ID" not in env
        assert env["CWD"] == str(tmp_path)  # of whoever submits, which paths in a config mean
    assert len(records.read([folder])) == 1 and status.read(folder)["state"] == "done"


def test_what_sbatch_refuses_is_told_in_a_line(tmp_path: Path) -> None:
    path = f"{STANDINS / 'slurm'}:{os.environ['PATH']}"  # it wants to know where to keep jobs
    done = sweep(tmp_path, "hydra/launcher=slurm", "seed=0", PATH=path)
    start = "condenser: hydra/launcher=slurm: sbatch refused the jobs: KeyError: 'SLURM_STANDIN'"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, start)


def test_slurm_is_asked_for_only_where_it_is(tmp_path: Path) -> None:
    done = sweep(tmp_path, "hydra/launcher=slurm", "seed=0")
    assert done.returncode == 1
    assert done.stderr.startswith("condenser: hydra/launcher=slurm: must be a machine with sb")


# --- configs


def test_many_jobs_are_composed_quickly_and_as_hydra_does() -> None:
    jobs = [
        ["experiment=demo", "prune.rate=0.3", "seed=1"],
        ["experiment=demo", "prune.rate=0.4", "data.root='a b'", "distill.epochs=2"],
        ["+data.size=3", "recipe.stages=[teacher,{prune:{rate:0.5}}]", "~prune.exclude"],
    ]
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("train", [], RunMode.MULTIRUN)
        composer = Composer(loader, master)
        for words in jobs:
            found = []
            for cfg in (composer(words), loader.load_sweep_config(master, words)):
                with seen_by_hydra(cfg):
                    plain = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
                    found.append(OmegaConf.to_container(plain, resolve=True))
            assert found[0] == found[1]
        assert len(composer.bases) == 3  # the master's among them


def test_jobs_that_choose_what_the_master_chose_are_composed_from_it() -> None:
    common = ["prune=lamp", "seed=1", "+data.size=3", "~logger.project"]
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration(
            "train", [*common, "prune.rate=0.1,0.2", "hydra.mode=MULTIRUN"], RunMode.MULTIRUN
        )
        composer = Composer(loader, master)
        for word in ("prune.rate=0.1", "prune.rate=0.2"):
            assert composer([*common, word]) == loader.load_sweep_config(master, [*common, word])
        assert len(composer.bases) == 1


# --- mistakes


def typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> list[str]:
    """What a sweep says before its first job."""
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", *words])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    return err.removeprefix("condenser: ").splitlines()


def test_all_configs_are_checked_before_the_first_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("hydra/launcher=basic", "prune.rate=0.5,2", "claim=a,b", "quantize.images=8,0")
    first, images, rate, name = typed(monkeypatch, capsys, f"runs={tmp_path}", *words)
    assert first == "no job was started:"
    assert images.startswith("quantize.images=0: must be >= 1 (4 of 8 jobs, f")
    assert rate.startswith("prune.rate=2: must be < 1 (4 of 8 jobs, first prune.r")
    assert name == (
        "run=prune.rate=0.5,quantize.images=8: "
        "that of prune.rate=0.5,quantize.images=8 is called so, too "
        "(prune.rate=0.5 claim=b quantize.images=8)"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"jobs": 0}, "hydra.launcher.jobs=0: must be >= 1"),
        ({"timeout_min": 0.0}, "hydra.launcher.timeout_min=0.0: must be a number of minutes"),
        ({"retries": -1}, "hydra.launcher.retries=-1: must be >= 0"),
    ],
)
def test_settings_of_the_launcher_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    usual = {"jobs": None, "timeout_min": None, "retries": 0, "grace_s": 10.0}
    Settings(**usual)
    with pytest.raises(ConfigError, match=said):
        Settings(**usual | settings)


def test_a_place_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (line,) = typed(monkeypatch, capsys, f"runs={tmp_path}/file/runs", "seed=0")
    assert line.startswith(f"{tmp_path}/file/runs") and "Not a directory; runs=FOLDER" in line


def test_a_disk_that_fills_up_stops_the_sweep_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(path: Path, data: Mapping[str, Any]) -> None:
        raise OSError(28, os.strerror(28), str(path))

    monkeypatch.setattr(status, "write_json", full)
    (line,) = typed(monkeypatch, capsys, f"runs={tmp_path}", "seed=0")
    place = tmp_path / "default/seed=0/status.json"
    assert line == f"{place}: {os.strerror(28)}; make room, then give the same command again"


def test_a_run_says_how_it_stands(tmp_path: Path) -> None:
    folder, seen = tmp_path / "run", []
    with status.kept(folder, "a"):
        seen.append(status.read(folder)["state"])
        records.write(folder, [records.Record({"run": "x", "stage": "student"})])
    assert seen == ["running"] and status.read(folder)["records"] == 1
    assert status.finished(folder, "b") is None
    whole = status.finished(folder, "a")
    assert whole is not None and whole["run"] == "x"
    with pytest.raises(ValueError, match="no"), status.kept(folder, "a"):
        raise ValueError("no\nmore")
    assert status.read(folder)["reason"] == "ValueError: no" and not status.finished(folder, "a")


def other_rank(monkeypatch: pytest.MonkeyPatch, names: Sequence[str]) -> list[bool]:
    found = []
    for name in names:
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            found.append(ranks.first())
    return found


def test_of_several_ranks_one_writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert ranks.first()
    assert other_rank(monkeypatch, ranks.VARIABLES) == [False] * len(ranks.VARIABLES)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with status.kept(tmp_path / "run", "a"):
        pass
    assert not (tmp_path / "run").exists()
