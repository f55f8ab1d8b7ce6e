"""Workers as jobs of Slurm; the scheduler runs here, in the process that waits for them."""

import logging
import os
import shlex
import sys
from typing import Any

from flows.cluster_config import Cluster, Slurm
from flows.dask_settings import as_environment


def slurm_cluster(cluster: Cluster, memory_gb: float) -> Any:
    """Return a SLURMCluster without workers yet.

    memory_gb: of a worker. Raises ModuleNotFoundError without the extra.
    """
    from dask_jobqueue.slurm import SLURMCluster  # noqa: PLC0415  an extra

    job = cluster.slurm or Slurm()
    export = [f"export {key}={shlex.quote(value)}" for key, value in as_environment().items()]
    return SLURMCluster(
        queue=job.queue,
        account=job.account,
        cores=job.cores,
        processes=job.processes,
        memory=f"{round(1e9 * memory_gb * job.processes)} B",
        walltime=job.walltime,
        interface=job.interface,
        job_name="specdenoise",
        job_extra_directives=list(job.directives),
        job_script_prologue=[*job.prologue, *export],
        local_directory=os.environ.get("TMPDIR", "/tmp"),
        python=sys.executable,
        scheduler_options={"dashboard_address": cluster.dashboard},
        silence_logs=logging.CRITICAL,
    )
