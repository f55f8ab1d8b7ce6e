"""The command that starts a training's ranks where [launch] says: here, by Slurm, or in a pod.

Whatever it is, it is a child process that ends with the ranks and as they end, and ends them when
it is ended; what they write and why they failed is in the run directory, which they share.
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from flows.config import Config
from simlib.artifact import write_bytes
from simlib.errors import InputError
from simlib.location import Location

MANIFEST = "job.json"
_PORTS = (20000, 20000)  # the first, and how many
_WAIT, _END = "3600s", "60s"  # for a pod to be given a place; for its end to be known of


def launch_command(config: Config, directory: str) -> list[str] | None:
    """Return the command, None for torchrun on this machine.

    Raises InputError where the number of ranks is not said, or cannot be shared by the nodes, and
    for a run behind a URL, which the ranks of other machines cannot share.
    """
    kind, ranks = config.launch.kind, config.train.ranks
    if kind == "local":
        return None
    if not (place := Location.of(directory)).is_local:
        raise InputError(
            f"launch.kind = {kind!r}: the ranks elsewhere share the run directory, which cannot be "
            f"{place}; set train.runs to a folder that they see, or launch.kind = 'local'"
        )
    if ranks is None:
        raise InputError(
            f"launch.kind = {kind!r}: set train.ranks, the processes of all nodes together; this "
            "machine cannot tell how many GPUs theirs have"
        )
    if kind == "srun":
        return srun_command(config, directory, ranks)
    manifest = place / MANIFEST
    write_bytes(manifest, json.dumps(job(config, directory, ranks), indent=1).encode())
    return kubectl_command(manifest.path, config.launch.namespace)


def srun_command(config: Config, directory: str, ranks: int) -> list[str]:
    """Return a step of Slurm's that runs torchrun on every node. Raises InputError."""
    nodes = config.launch.nodes
    if ranks % nodes:
        raise InputError(
            f"train.ranks = {ranks} cannot be shared evenly by launch.nodes = {nodes}; make it a "
            "multiple of them"
        )
    step = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1",
            "--kill-on-bad-exit=1", "--unbuffered", *config.launch.options]  # fmt: skip
    name = Path(directory).name
    port = _PORTS[0] + sum(name.encode()) % _PORTS[1]
    meeting = (
        ["--standalone"]
        if nodes == 1
        else [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-id={name}"]
    )
    torchrun = shlex.join(
        [sys.executable, "-m", "torch.distributed.run", f"--max-restarts={config.train.restarts}",
         *meeting, f"--nproc-per-node={ranks // nodes}"]
    )  # fmt: skip
    # only a node of the step knows which the first one is
    head = '"$(scontrol show hostnames "$SLURM_STEP_NODELIST" | head -n 1)"'
    where = "" if nodes == 1 else f" --rdzv-endpoint={head}:{port}"
    ranks_of = shlex.join(["-m", "trainlib.training.train", directory])
    return [*step, "bash", "-c", f"exec {torchrun}{where} {ranks_of}"]


def job(config: Config, directory: str, ranks: int) -> dict[str, Any]:
    """Return the Kubernetes job whose one pod runs all ranks. Raises InputError."""
    launch, root = config.launch, config.root
    if launch.claim is None:
        raise InputError(
            "launch.kind = 'kubernetes': set launch.claim, the volume claim that holds the run, "
            f"which is mounted at {root if root.is_local else Path(directory).parent}"
        )
    mount = str(root) if root.is_local else str(Path(directory).parent)
    container: dict[str, Any] = {
        "name": "ranks",
        "image": launch.image,
        "command": [
            "python", "-m", "torch.distributed.run", "--standalone",
            f"--max-restarts={config.train.restarts}", f"--nproc-per-node={ranks}",
            "-m", "trainlib.training.train", directory,
        ],
        "volumeMounts": [{"name": "root", "mountPath": mount}],
    }  # fmt: skip
    if launch.gpus:
        container["resources"] = {"limits": {"nvidia.com/gpu": str(launch.gpus)}}
    if launch.secret is not None:
        container["envFrom"] = [{"secretRef": {"name": launch.secret}}]
    pod = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "root", "persistentVolumeClaim": {"claimName": launch.claim}}],
    }
    name = f"train-{Path(directory).name.rpartition('-')[2]}"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": launch.namespace},
        "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": 600, "template": {"spec": pod}},
    }


def kubectl_command(manifest: Path, namespace: str) -> list[str]:
    """Return what makes the job, prints its log, removes it, and ends as it ended."""
    of = f"-f {shlex.quote(str(manifest))}"
    kubectl = f"kubectl --namespace {namespace}"
    script = (
        f"trap '{kubectl} delete {of} --wait=false' EXIT; trap 'exit 143' TERM; "
        f"{kubectl} delete {of} --ignore-not-found; {kubectl} create {of} || exit 1; "
        f"{kubectl} logs {of} --follow --pod-running-timeout={_WAIT} & wait $!; "
        f"{kubectl} wait {of} --for=condition=complete --timeout={_END}"
    )
    return ["bash", "-c", script]
