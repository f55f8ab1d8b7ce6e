"""A real object store on this machine: Ceph's gateway over one daemon each, all in memory.

`infra/test-all/prepare` installs it. Nothing of it outlives the block, and only loopback is used.
"""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-mgr", "ceph-osd", "monmaptool", "radosgw",
            "radosgw-admin")  # fmt: skip
_SECONDS = 120.0  # until something answers
_CONFIG = """
[global]
fsid = {fsid}
monmap = {folder}/monmap
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
osd objectstore = memstore
memstore device bytes = 17179869184
osd max object name len = 1024
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
pid file = {folder}/$name.pid
mon data = {folder}/mon
mgr data = {folder}/mgr
osd data = {folder}/osd
osd journal =
keyring = {folder}/keyring
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {folder}/rgw
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Ceph:
    """A store that runs. Its gateway is killed and started as one likes."""

    folder: Path
    port: int
    keys: dict[str, str] = field(default_factory=dict)
    daemons: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    gateway: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, program: str, *words: str) -> str:
        """Return what a program prints; tried again while the monitor is not ready."""
        command = [program, "-c", str(self.folder / "ceph.conf"), *words]
        end = time.monotonic() + _SECONDS
        while True:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
            if done.returncode == 0:
                return done.stdout
            if program != "ceph" or time.monotonic() > end:
                raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
            time.sleep(0.5)

    def start(self, program: str, *words: str) -> "subprocess.Popen[bytes]":
        command = [program, "-f", "-c", str(self.folder / "ceph.conf"), *words]
        with (self.folder / f"{program}.out").open("ab") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out)
        self.daemons.append(process)
        return process

    def start_storage(self) -> None:
        """Start what keeps the objects; again where it asked before it knew the cluster's fsid."""
        osd, end = self.start("ceph-osd", "-i", "0"), time.monotonic() + _SECONDS
        while not json.loads(self.run("ceph", "osd", "stat", "-f", "json"))["num_up_osds"]:
            if time.monotonic() > end:
                raise TimeoutError("no OSD is up")
            if osd.poll() is not None:
                osd = self.start("ceph-osd", "-i", "0")
            time.sleep(0.2)

    def start_gateway(self) -> None:
        self.gateway = self.start("radosgw", "-n", "client.rgw")

    def kill_gateway(self) -> None:
        assert self.gateway is not None
        self.gateway.kill()
        self.gateway.wait(30)

    def wait_for_answer(self) -> None:
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            with suppress(OSError), urlopen(self.address, timeout=5):
                return
            assert self.gateway is not None and self.gateway.poll() is None, "the gateway ended"
            time.sleep(0.2)
        raise TimeoutError(f"no answer from {self.address}")


def missing() -> Sequence[str]:
    """Return the programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextmanager
def running(folder: Path) -> Iterator[Ceph]:
    """Run a store with one user."""
    fsid, mon = "a7f64266-0894-4f1e-a635-d0aeaca0e993", free_port()
    ceph = Ceph(folder, free_port())
    text = _CONFIG.format(fsid=fsid, folder=folder, port=ceph.port)
    (folder / "ceph.conf").write_text(text)
    for name in ("mon", "mgr", "osd", "rgw"):
        (folder / name).mkdir()
    keyring, monmap = str(folder / "keyring"), str(folder / "monmap")
    try:
        for name in ("mon.", "client.admin", "mgr.x", "osd.0", "client.rgw"):
            caps = [word for part in ("mon", "osd", "mgr") for word in ("--cap", part, "allow *")]
            create = [] if Path(keyring).exists() else ["--create-keyring"]
            subprocess.run(["ceph-authtool", *create, keyring, "--gen-key", "-n", name, *caps],
                           check=True, capture_output=True, timeout=30)  # fmt: skip
        subprocess.run(["monmaptool", "--create", "--fsid", fsid, "--addv", "a",
                        f"[v1:127.0.0.1:{mon}]", monmap],
                       check=True, capture_output=True, timeout=30)  # fmt: skip
        ceph.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        ceph.start("ceph-mon", "-i", "a")
        ceph.run(
            "ceph", "--connect-timeout", "60", "osd", "new", "b2b8bd7b-2f6c-4d0f-9b86-0f6b5c6f2a11"
        )
        ceph.run(
            "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", "b2b8bd7b-2f6c-4d0f-9b86-0f6b5c6f2a11"
        )
        ceph.start("ceph-mgr", "-i", "x")
        ceph.start_storage()
        ceph.start_gateway()
        ceph.wait_for_answer()
        user = json.loads(ceph.run("radosgw-admin", "user", "create", "--uid", "tester",
                                   "--display-name", "tester"))["keys"][0]  # fmt: skip
        ceph.keys = {"AWS_ACCESS_KEY_ID": user["access_key"],
                     "AWS_SECRET_ACCESS_KEY": user["secret_key"]}  # fmt: skip
        yield ceph
    finally:
        for daemon in reversed(ceph.daemons):
            daemon.kill()
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(30)
