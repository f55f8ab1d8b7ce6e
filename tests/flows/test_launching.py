"""Where a training's ranks are started: the commands and objects, and how they end."""

import json
import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from flows.config import Config, load_config
from flows.launching import MANIFEST, job, kubectl_command, launch_command, srun_command
from simlib.errors import InputError

POD = ["launch.kind=kubernetes", "launch.image=registry.org/specdenoise:1", "launch.claim=shared"]


def config_of(root: Path, *overrides: str) -> Config:
    return load_config("tiny", [f"storage.root='{root}'", *overrides])


def test_here_needs_no_command_and_elsewhere_the_number_of_ranks(tmp_path: Path) -> None:
    assert launch_command(config_of(tmp_path), str(tmp_path / "run")) is None
    for sets in (["launch.kind=srun"], POD):
        with pytest.raises(InputError, match="set train.ranks, the processes of all nodes"):
            launch_command(config_of(tmp_path, *sets), str(tmp_path / "run"))


def test_ranks_elsewhere_share_no_run_behind_a_url(tmp_path: Path) -> None:
    config = config_of(tmp_path, "launch.kind=srun", "train.ranks=2")
    with pytest.raises(InputError, match="cannot be s3://some/run; set train.runs"):
        launch_command(config, "s3://some/run")
    assert launch_command(config_of(tmp_path), "s3://some/run") is None


def test_a_step_of_one_node_runs_all_ranks_and_of_more_they_meet_on_the_first(
    tmp_path: Path,
) -> None:
    run = str(tmp_path / "runs/a b")
    config = config_of(tmp_path, "launch.kind=srun", "launch.options=['--partition=gpu']")
    one = srun_command(config, run, 4)
    assert one[:7] == ["srun", "--nodes=1", "--ntasks=1", "--ntasks-per-node=1",
                       "--kill-on-bad-exit=1", "--unbuffered", "--partition=gpu"]  # fmt: skip
    assert "--standalone --nproc-per-node=4" in one[-1] and one[-1].endswith(f"'{run}'")
    more = config_of(tmp_path, "launch.kind=srun", "launch.nodes=2")
    command = srun_command(more, run, 4)
    assert "--nodes=2" in command and "--ntasks=2" in command
    assert "--nnodes=2" in command[-1] and "--nproc-per-node=2" in command[-1]
    assert "--standalone" not in command[-1]
    with pytest.raises(InputError, match="train.ranks = 3 cannot be shared evenly by launch.nodes"):
        srun_command(more, run, 3)


def test_the_shell_of_a_step_finds_its_first_node(tmp_path: Path) -> None:
    """With a scontrol that says how it was asked, and a Python that says what it was given."""
    config = config_of(tmp_path, "launch.kind=srun", "launch.nodes=2")
    shell = srun_command(config, "/data/runs/x", 2)[-3:]
    scripts(tmp_path, scontrol='test "$*" = "show hostnames n[1-2]" && printf "n1\\nn2\\n"')
    python = tmp_path / "bin/python"
    python.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    python.chmod(0o755)
    shell[-1] = shell[-1].replace(shell[-1].split()[1], str(python))
    told = ran(shell, tmp_path, SLURM_STEP_NODELIST="n[1-2]").stdout.splitlines()
    (endpoint,) = [word for word in told if word.startswith("--rdzv-endpoint=")]
    host, port = endpoint.partition("=")[2].split(":")
    assert host == "n1" and 20000 <= int(port) < 40000
    assert told[-2:] == ["trainlib.training.train", "/data/runs/x"]


def test_the_job_is_one_that_kubernetes_takes(tmp_path: Path) -> None:
    sets = [*POD, "launch.gpus=2", "launch.secret=s3-access", "launch.namespace=survey"]
    made = job(config_of(tmp_path, *sets), f"{tmp_path}/runs/tiny-0123456789abcdef", 2)
    assert (made["apiVersion"], made["kind"]) == ("batch/v1", "Job")
    assert made["metadata"] == {"name": "train-0123456789abcdef", "namespace": "survey"}
    spec = made["spec"]["template"]["spec"]
    assert made["spec"]["backoffLimit"] == 0 and spec["restartPolicy"] == "Never"
    (container,) = spec["containers"]
    assert container["resources"] == {"limits": {"nvidia.com/gpu": "2"}}
    assert container["envFrom"] == [{"secretRef": {"name": "s3-access"}}]
    assert container["volumeMounts"][0]["mountPath"] == str(tmp_path)
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "shared"}
    assert "--nproc-per-node=2" in container["command"]
    plain = job(config_of(tmp_path, *POD), f"{tmp_path}/runs/tiny-0", 1)["spec"]["template"]["spec"]
    assert set(plain["containers"][0]) == {"name", "image", "command", "volumeMounts"}


def test_a_pod_that_would_not_see_the_run_is_refused(tmp_path: Path) -> None:
    sets = [one for one in POD if "claim" not in one]
    with pytest.raises(InputError, match="set launch.claim, the volume claim"):
        job(config_of(tmp_path, *sets), str(tmp_path / "run"), 2)


@pytest.mark.parametrize(
    ("sets", "message"),
    [(["launch.nodes=2"], "nodes cannot act where kind = 'local'"),
     (["launch.kind=srun", "launch.gpus=1"], "gpus cannot act where kind = 'srun'"),
     (["launch.kind=kubernetes"], "needs image")],
)  # fmt: skip
def test_what_cannot_act_is_refused(sets: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        config_of(tmp_path, *sets)


def scripts(folder: Path, **texts: str) -> None:
    (folder / "bin").mkdir(exist_ok=True)
    for name, text in texts.items():
        path = folder / "bin" / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


def environment(folder: Path, **more: str) -> dict[str, str]:
    return os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"} | more


def ran(command: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment(folder, **more), capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip


KUBECTL = """
echo "$3" >> %s/asked
case "$3" in
logs) echo "epoch 1"; %s ;;
wait) exit %s ;;
esac
"""


@pytest.mark.parametrize("code", [0, 1])
def test_a_job_is_made_followed_removed_and_its_end_is_the_command_s(
    code: int, tmp_path: Path
) -> None:
    scripts(tmp_path, kubectl=KUBECTL % (tmp_path, ":", code))
    sets = [*POD, "train.ranks=2"]
    (tmp_path / "run").mkdir()
    command = launch_command(config_of(tmp_path, *sets), str(tmp_path / "run"))
    assert command is not None
    assert json.loads((tmp_path / "run" / MANIFEST).read_text())["kind"] == "Job"
    done = ran(command, tmp_path)
    assert (done.returncode, done.stdout) == (code, "epoch 1\n")
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["delete", "create", "logs", "wait", "delete"]


def test_a_job_is_removed_where_its_command_is_ended(tmp_path: Path) -> None:
    following = tmp_path / "following"
    os.mkfifo(following)
    waits = f"echo on > {following}; exec sleep 60"
    scripts(tmp_path, kubectl=KUBECTL % (tmp_path, waits, 0))
    process = subprocess.Popen(kubectl_command(tmp_path / MANIFEST, "default"),
                               env=environment(tmp_path), start_new_session=True,
                               stdout=subprocess.DEVNULL)  # fmt: skip
    assert following.read_text() == "on\n"
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(30) == 143
    assert (tmp_path / "asked").read_text().split()[-1] == "delete"
