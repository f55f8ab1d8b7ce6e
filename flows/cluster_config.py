"""The section `cluster`: where the fan-out runs, on how much, and when a worker counts as lost."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator

from simlib.config import Section
from simlib.secrets import refuse_password, refuse_secrets

Line = Annotated[str, Field(pattern=r"^[^\r\n]+$", max_length=1000)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/@:+-]*$", max_length=300)]
DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
SecretName = Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]

_ASSIGNED = re.compile(r"(\w+)=(\S*)")


def _without_secrets(lines: tuple[str, ...]) -> tuple[str, ...]:
    """A job's script is kept by the batch system and can be read by others."""
    for line in lines:
        refuse_secrets(dict(_ASSIGNED.findall(line)) | {"": line})
    return lines


class Slurm(Section):
    """A job of the batch system; its memory is `cluster.memory_gb` for each of its workers."""

    queue: Word | None = None  # None: the site's default
    account: Word | None = None  # that the time is charged to
    cores: PositiveInt = 1  # of a job
    processes: PositiveInt = 1  # workers in a job, which share its cores
    walltime: Annotated[str, Field(pattern=r"^(\d+-)?\d{1,3}:\d\d(:\d\d)?$")] = (
        "04:00:00"  # of a job
    )
    interface: Word | None = None  # network that workers reach this machine by, such as ib0
    directives: tuple[Line, ...] = ()  # more `#SBATCH`, such as "--constraint=cpu"
    # shell lines before the worker starts, such as "module load python"
    prologue: Annotated[tuple[Line, ...], AfterValidator(_without_secrets)] = ()

    @model_validator(mode="after")
    def _cores_are_shared_evenly(self) -> "Slurm":
        if self.cores % self.processes:
            raise ValueError(
                f"{self.cores} cores cannot be shared evenly by {self.processes} processes; "
                "make cores a multiple of processes"
            )
        return self


class Kubernetes(Section):
    """Pods made by the Dask operator; each worker has `cluster.memory_gb`."""

    image: Word  # with this program installed, the same version as here
    namespace: DnsLabel = "default"  # of the pods
    cpus: PositiveFloat = 1.0  # of a worker
    secret: SecretName | None = None  # its entries become the workers' environment


class Cluster(Section):
    """The Dask cluster: one made for the run, or one that is there."""

    # processes of this machine, threads of this one, jobs, or pods
    kind: Literal["local", "threads", "slurm", "kubernetes"] = "local"
    # of a running scheduler, e.g. tcp://10.0.0.1:8786
    address: Annotated[str, AfterValidator(refuse_password)] | None = None
    workers: PositiveInt | None = None  # None: one a core of this machine, if it has the memory
    adaptive: tuple[PositiveInt, PositiveInt] | None = None  # fewest and most, as there is work
    memory_gb: PositiveFloat | None = None  # of a worker; None: 2, or its share of this machine
    dashboard: str = "127.0.0.1:8787"  # another port is taken where this one is in use
    wait_s: PositiveFloat = 3600.0  # for the first worker of jobs or pods, which may have to queue
    # A task that takes so many times longer than the slowest before it hangs: its worker is started
    # anew and others take what it had.
    hang_factor: Annotated[float, Field(ge=2.0)] = 20.0
    hang_floor_s: PositiveFloat = 120.0  # sooner than that no task counts as hanging
    report: bool = True  # Dask's own, kept beside the dataset
    slurm: Slurm | None = None  # where kind = "slurm"
    kubernetes: Kubernetes | None = None  # where kind = "kubernetes"

    @property
    def is_elsewhere(self) -> bool:
        """Whether workers may run on other machines, and see other files."""
        return self.address is not None or self.kind in ("slurm", "kubernetes")

    @property
    def most_workers(self) -> int | None:
        """Return how many workers there may be at most; None where nothing says so."""
        return self.adaptive[1] if self.adaptive else self.workers

    @model_validator(mode="after")
    def _address_comes_alone(self) -> "Cluster":
        acts = {"address", "hang_factor", "hang_floor_s", "report"}
        idle = self.model_fields_set - acts
        if self.address is not None and idle:
            raise ValueError(
                f"{', '.join(sorted(idle))} cannot act on the running cluster at {self.address}; "
                "remove what is set of it, or remove address"
            )
        return self

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> "Cluster":
        set_here = {key for key in self.model_fields_set if getattr(self, key) is not None}
        for other in {"slurm", "kubernetes"} & set_here - {self.kind}:
            raise ValueError(f"{other} acts only where kind = {other!r}; set that, or remove it")
        idle = {
            "local": {"wait_s"},
            "threads": {"wait_s", "adaptive", "memory_gb"},
            "slurm": set[str](),
            "kubernetes": {"dashboard"},
        }[self.kind]
        if idle & set_here:
            raise ValueError(
                f"{', '.join(sorted(idle & set_here))} cannot act where kind = {self.kind!r}; "
                "remove it"
            )
        if self.kind == "kubernetes" and self.kubernetes is None:
            raise ValueError("kind = 'kubernetes' needs kubernetes.image; set it")
        return self

    @model_validator(mode="after")
    def _workers_are_told_once(self) -> "Cluster":
        if self.adaptive is None:
            return self
        if self.workers is not None:
            raise ValueError("workers and adaptive are both set; remove one of them")
        low, high = self.adaptive
        if low > high:
            raise ValueError(f"adaptive = [{low}, {high}] is reversed; write [{high}, {low}]")
        return self
