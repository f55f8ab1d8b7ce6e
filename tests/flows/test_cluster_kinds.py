"""Clusters on other machines: what would be submitted, rendered without a batch system or pods."""

import re
from itertools import pairwise

import dask.config
import pytest
import yaml
from dask.utils import parse_bytes

from flows.cluster import _size, dask_client, worker_memory_gb
from flows.cluster_config import Cluster
from flows.config import load_config
from flows.dask_settings import SETTINGS, as_environment
from simlib.errors import InputError


def cluster_of(*overrides: str) -> Cluster:
    return load_config("tiny", [f"cluster.{one}" for one in overrides]).cluster


def test_settings_survive_the_way_through_the_environment() -> None:
    collected = dask.config.collect_env(as_environment())
    for key, value in SETTINGS.items():
        assert dask.config.get(key, config=collected) == value
        assert dask.config.get(key, default=None) is not None, "Dask knows it"


SLURM = ("kind=slurm", "slurm.queue=long", "slurm.account=astro", "slurm.cores=8", "memory_gb=3",
         "slurm.processes=4", "slurm.walltime='1-00:30:00'", "slurm.directives=['--exclusive']",
         "slurm.prologue=['module load python', 'export OMP_NUM_THREADS=1']")  # fmt: skip


def test_the_job_of_slurm_has_all_that_the_config_says(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue", reason="pip install 'specdenoise[slurm]'")
    from flows.cluster_slurm import slurm_cluster

    monkeypatch.setenv("TMPDIR", "/scratch")
    section = cluster_of(*SLURM, "dashboard='127.0.0.1:0'")
    with slurm_cluster(section, worker_memory_gb(section)) as made:
        script = made.job_script()
        assert not made.workers  # nothing is submitted
    lines = script.splitlines()
    for wanted in ("-J specdenoise", "-p long", "-A astro", "-n 1", "--cpus-per-task=8",
                   "-t 1-00:30:00", "--exclusive"):  # fmt: skip
        assert f"#SBATCH {wanted}" in lines
    (asked,) = (line.removeprefix("#SBATCH --mem=") for line in lines if "--mem=" in line)
    assert 12e9 <= parse_bytes(asked.replace("G", "GiB")) < 12e9 + 2**30
    begun = lines.index("module load python")
    assert lines[begun + 1] == "export OMP_NUM_THREADS=1"
    for key, value in as_environment().items():
        assert f"export {key}={value}" in lines[begun:-1]
    worker = lines[-1].split()
    options = dict(pairwise(worker))
    assert options["--nthreads"] == "2" and options["--nworkers"] == "4"
    assert parse_bytes(options["--memory-limit"]) == pytest.approx(3e9, rel=0.01)
    assert options["--local-directory"] == "/scratch" and "--nanny" in worker


def test_the_cluster_of_pods_is_one_that_the_operator_takes_and_holds_no_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator = pytest.importorskip("dask_kubernetes.operator",
                                   reason="pip install 'specdenoise[kubernetes]'")  # fmt: skip
    jsonschema = pytest.importorskip("jsonschema", reason="Prefect brings it")
    from importlib.resources import files

    from flows.cluster_kubernetes import manifest

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    section = cluster_of("kind=kubernetes", "kubernetes.image=registry.org/specdenoise:1",
                         "kubernetes.namespace=survey", "kubernetes.cpus=1.5", "memory_gb=3",
                         "kubernetes.secret=s3-access")  # fmt: skip
    assert section.kubernetes
    made = manifest(section.kubernetes, worker_memory_gb(section), "specdenoise-x")
    assert made["metadata"] == {"name": "specdenoise-x", "namespace": "survey"}
    (worker,) = made["spec"]["worker"]["spec"]["containers"]
    (scheduler,) = made["spec"]["scheduler"]["spec"]["containers"]
    size = {"cpu": "1.5", "memory": "3000000000"}
    assert worker["resources"] == {"requests": size, "limits": size}
    assert worker["image"] == scheduler["image"] == "registry.org/specdenoise:1"
    assert worker["envFrom"] == [{"secretRef": {"name": "s3-access"}}]
    assert "envFrom" not in scheduler
    assert {entry["name"]: entry["value"] for entry in scheduler["env"]} == as_environment()
    memory = worker["args"].index("--memory-limit")
    assert worker["args"][memory + 1] == "3000000000"
    assert "hunter2" not in yaml.safe_dump(made)
    crd = next(
        path
        for path in files(operator).joinpath("deployment").rglob("crds/daskcluster.yaml")  # type: ignore[attr-defined]
    )
    definition = yaml.safe_load(crd.read_text())
    (version,) = definition["spec"]["versions"]
    assert made["apiVersion"] == f"{definition['spec']['group']}/{version['name']}"
    assert made["kind"] == definition["spec"]["names"]["kind"]
    jsonschema.validate(made, version["schema"]["openAPIV3Schema"])


def test_the_operator_is_asked_for_that_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = pytest.importorskip("dask_kubernetes.operator",
                                   reason="pip install 'specdenoise[kubernetes]'")  # fmt: skip
    from flows.cluster_kubernetes import kubernetes_cluster, manifest

    monkeypatch.setattr(operator, "KubeCluster", lambda **asked: asked)
    section = cluster_of("kind=kubernetes", "kubernetes.image=x", "kubernetes.namespace=survey",
                         "memory_gb=3", "wait_s=77")  # fmt: skip
    assert section.kubernetes
    asked = kubernetes_cluster(section, section.kubernetes, 3.0)
    spec = asked.pop("custom_cluster_spec")
    assert asked == {"namespace": "survey", "resource_timeout": 77, "quiet": True}
    name = spec["metadata"]["name"]
    assert re.fullmatch(r"specdenoise-[0-9a-f]{8}", name)
    assert spec == manifest(section.kubernetes, 3.0, name)


@pytest.mark.parametrize(
    ("kind", "package"), [("slurm", "dask_jobqueue"), ("kubernetes", "dask_kubernetes")]
)
def test_an_extra_that_is_missing_is_one_message_with_the_command(
    kind: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("flows.cluster.shutil.which", lambda _: "/usr/bin/sbatch")
    more = ["kubernetes.image=x"] if kind == "kubernetes" else []
    wanted = rf"needs the package '{package}\S*', which is .*pip install 'specdenoise\[{kind}\]'"
    with pytest.raises(InputError, match=wanted), dask_client(cluster_of(f"kind={kind}", *more)):
        pass


def test_without_a_batch_system_slurm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.cluster.shutil.which", lambda _: None)
    with pytest.raises(InputError, match="needs sbatch"), dask_client(cluster_of("kind=slurm")):
        pass


def test_pods_that_cannot_be_made_are_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("flows.cluster.kubernetes_cluster", refused)
    section = cluster_of("kind=kubernetes", "kubernetes.image=x", "kubernetes.namespace=survey")
    with (
        pytest.raises(InputError, match=r"ConnectionError: no route.*-n survey.*operator"),
        dask_client(section),
    ):
        pass


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["kind=kubernetes"], "kind = 'kubernetes' needs kubernetes.image"),
        (["slurm.queue=x"], "slurm acts only where kind = 'slurm'"),
        (["kind=slurm", "kubernetes.image=x"], "kubernetes acts only where kind = 'kubernetes'"),
        (["address='tcp://h:1'", "slurm.queue=x"], "slurm cannot act on the running cluster"),
        (["address='tcp://h:1'", "adaptive=[1, 2]"], "adaptive cannot act on the running cluster"),
        (["address='tcp://u:pw@h:1'"], "URL with user:password@ is not taken"),
        (["kind=slurm", "slurm.cores=3", "slurm.processes=2"], "make cores a multiple of"),
        (["kind=slurm", "slurm.walltime=never"], "cluster.slurm.walltime = 'never'"),
        (["kind=slurm", 'slurm.directives=["a\\nb"]'], "cluster.slurm.directives.0"),
        (["kind=slurm", "slurm.qeue=x"], "nearest known key is 'cluster.slurm.queue'"),
        (["adaptive=[4, 2]"], r"\[4, 2\] is reversed; write \[2, 4\]"),
        (["adaptive=[1, 2]", "workers=2"], "workers and adaptive are both set"),
        (["adaptive=[0, 2]"], "cluster.adaptive.0 = 0"),
        (["kind=threads", "memory_gb=2"], "memory_gb cannot act where kind = 'threads'"),
        (["kind=threads", "adaptive=[1, 2]"], "adaptive cannot act where kind = 'threads'"),
        (["wait_s=3"], "wait_s cannot act where kind = 'local'"),
        (["hang_factor=1"], "cluster.hang_factor = 1"),
    ],
)
def test_what_cannot_act_or_be_is_told(overrides: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        cluster_of(*overrides)


SOME = {"workers": "2", "adaptive": "[1, 2]", "memory_gb": "2", "dashboard": "':1'",
        "wait_s": "3"}  # fmt: skip
IDLE = {"local": {"wait_s"}, "threads": {"wait_s", "adaptive", "memory_gb"}, "slurm": set[str](),
        "kubernetes": {"dashboard"}}  # fmt: skip


@pytest.mark.parametrize("kind", IDLE)
def test_every_key_acts_or_is_refused_where_it_is_idle(kind: str) -> None:
    image = ["kubernetes.image=x"] if kind == "kubernetes" else []
    for key, value in SOME.items():
        words = [f"kind={kind}", *image, f"{key}={value}"]
        if key in IDLE[kind]:
            with pytest.raises(InputError, match=f"{key} cannot act where kind = '{kind}'"):
                cluster_of(*words)
        else:
            assert getattr(cluster_of(*words), key) is not None


@pytest.mark.parametrize(
    "line", ["export AWS_SECRET_ACCESS_KEY=hunter2", "curl https://me:hunter2@x"]
)
def test_a_secret_in_a_job_is_refused_and_not_repeated(line: str) -> None:
    with pytest.raises(InputError, match="is not taken|with a password") as error:
        cluster_of("kind=slurm", f"slurm.prologue=['{line}']")
    assert "hunter2" not in str(error.value)


def test_a_worker_has_two_gigabytes_or_its_share_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.cluster.MEMORY_LIMIT", 8e9)  # 7.2 of them, 0.5 counted in each
    assert worker_memory_gb(cluster_of("workers=2")) == 2.0
    assert worker_memory_gb(cluster_of("workers=8")) == pytest.approx(0.5 + 6.7 / 8)
    assert worker_memory_gb(cluster_of("adaptive=[1, 8]")) == pytest.approx(0.5 + 6.7 / 8)
    assert worker_memory_gb(cluster_of("workers=8", "memory_gb=5")) == 5.0
    assert worker_memory_gb(cluster_of("kind=slurm", "workers=800")) == 2.0


@pytest.mark.parametrize(
    ("cores", "gigabytes", "workers"),
    [(2, 24, 2), (16, 32, 16), (16, 16, 15), (8, 8, 7), (4, 1, 1)],
)
def test_there_are_as_many_workers_as_cores_if_each_has_the_memory_for_a_block(
    cores: int, gigabytes: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.cluster.MEMORY_LIMIT", 1e9 * gigabytes)
    monkeypatch.setattr("flows.cluster.usable_cores", lambda: cores)
    assert _size(cluster_of()).startswith(f"{workers} workers of ")
    assert worker_memory_gb(cluster_of()) >= min(1.4, 0.9 * gigabytes)
    for stated in ("kind=threads", "memory_gb=3"):  # which bound themselves, or are a person's own
        assert _size(cluster_of(stated)).startswith(f"{cores} ")
    assert _size(cluster_of("workers=9")).startswith("9 workers of ")
    assert _size(cluster_of("kind=slurm")).startswith(f"{cores} workers of 2 GB")
