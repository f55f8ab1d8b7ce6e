"""Workers and their scheduler as pods, made by the Dask operator of a Kubernetes cluster."""

import secrets
from typing import Any

from flows.cluster_config import Cluster, Kubernetes
from flows.dask_settings import as_environment


def kubernetes_cluster(cluster: Cluster, section: Kubernetes, memory_gb: float) -> Any:
    """Return a KubeCluster without workers yet. Raises ModuleNotFoundError without the extra."""
    from dask_kubernetes.operator import KubeCluster  # noqa: PLC0415  an extra

    return KubeCluster(
        namespace=section.namespace,
        custom_cluster_spec=manifest(section, memory_gb, f"specdenoise-{secrets.token_hex(4)}"),
        resource_timeout=round(cluster.wait_s),
        quiet=True,
    )


def manifest(section: Kubernetes, memory_gb: float, name: str) -> dict[str, Any]:
    """Return the `DaskCluster` that is asked of the operator.

    Credentials are named, never held: the entries of the secret become variables of the workers,
    and of them alone. Raises ModuleNotFoundError without the extra.
    """
    from dask_kubernetes.operator import make_cluster_spec  # noqa: PLC0415  an extra

    size = {"cpu": f"{section.cpus:g}", "memory": str(round(1e9 * memory_gb))}
    spec: dict[str, Any] = make_cluster_spec(
        name=name,
        image=section.image,
        n_workers=0,
        resources={"requests": size, "limits": size},
        env=as_environment(),
        worker_command=["dask", "worker", "--nthreads", "1", "--memory-limit", size["memory"]],
    )
    spec["metadata"]["namespace"] = section.namespace
    if section.secret is not None:
        (container,) = spec["spec"]["worker"]["spec"]["containers"]
        container["envFrom"] = [{"secretRef": {"name": section.secret}}]
    return spec
