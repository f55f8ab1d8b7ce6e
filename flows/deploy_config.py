"""The config's sections on who runs things: the schedule and its workers, the ranks."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from flows.cluster_config import DnsLabel, Line, SecretName, Word
from simlib.config import Section


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ValueError("is no time zone; write one such as UTC or Europe/Budapest") from None
    return name


class Deploy(Section):
    """When a config is refreshed, and by which workers of Prefect's."""

    # minute, hour, day, month, day of the week
    cron: Annotated[str, Field(pattern=r"^\S+( \S+){4}$")] = "0 3 * * *"
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"  # of cron
    # of the work pool; on a batch system a process worker on a login node, with launch.kind
    kind: Literal["process", "docker", "kubernetes"] = "process"
    pool: Word = "specdenoise"  # of work, that workers of Prefect's take from
    image: Word | None = None  # with this program installed
    namespace: DnsLabel | None = None  # of Kubernetes
    # between two looks at the files that the config names, by `serve` and `deploy --watch`
    watch_s: float = Field(60.0, ge=1.0, le=86400.0)

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> "Deploy":
        if (self.kind == "process") != (self.image is None):
            told = "needs image" if self.image is None else "takes no image"
            raise ValueError(f"kind = {self.kind!r} {told}")
        if self.namespace is not None and self.kind != "kubernetes":
            raise ValueError("namespace acts only where kind = 'kubernetes'; remove it")
        return self


class Launch(Section):
    """How torchrun is started: here, as a step of Slurm's, or in a pod."""

    kind: Literal["local", "srun", "kubernetes"] = (
        "local"  # torchrun here, a step of Slurm's, a pod
    )
    nodes: PositiveInt = 1  # srun: they share the `train.ranks` processes evenly
    options: tuple[Line, ...] = ()  # more for srun, such as "--partition=gpu"
    image: Word | None = None  # kubernetes: with this program installed
    namespace: DnsLabel = "default"  # kubernetes
    gpus: int = Field(0, ge=0)  # of the pod
    claim: DnsLabel | None = None  # volume claim that holds storage.root, mounted at its path
    secret: SecretName | None = None  # its entries become the pod's environment

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> "Launch":
        acts = {
            "local": {"kind"},
            "srun": {"kind", "nodes", "options"},
            "kubernetes": {"kind", "image", "namespace", "gpus", "claim", "secret"},
        }[self.kind]
        if idle := sorted(self.model_fields_set - acts):
            raise ValueError(f"{', '.join(idle)} cannot act where kind = {self.kind!r}; remove it")
        if self.kind == "kubernetes" and self.image is None:
            raise ValueError("kind = 'kubernetes' needs image; set it")
        return self
