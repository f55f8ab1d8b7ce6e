"""Nothing is reported to anyone, unless a person says so: in a process of its own."""

import json
import os
import subprocess
import sys

import pytest

# What a person, or the tests around, may have set.
KEYS = ("DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED", "PREFECT_API_URL", "PREFECT_API_KEY",
        "PREFECT_PROFILE")  # fmt: skip

SETTINGS = """
import flows, os
from prefect.settings import get_current_settings
print(get_current_settings().server.analytics_enabled, os.environ["DO_NOT_TRACK"])
"""
ENVIRONMENT = """
import flows, os
print(os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"], os.environ["DO_NOT_TRACK"])
"""

# Everything that the process connects to, and every name that it looks up.
RUN = """
import json, sys
reached = set()
def hook(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        reached.add(str(arguments[1][0]))
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        reached.add(str(arguments[0]))
sys.addaudithook(hook)
import flows.pipeline
from prefect import flow, task
@task
def one(): return 1
@flow
def tried(): return one()
assert tried() == 1
print(json.dumps(sorted(reached)))
"""


def fresh(code: str, home: str, **more: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in KEYS}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | {"PREFECT_HOME": home} | more,
        capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()[-1]


def test_analytics_are_off_and_what_a_person_set_wins(tmp_path) -> None:
    assert fresh(SETTINGS, str(tmp_path)) == "False 1"
    own = {"PREFECT_SERVER_ANALYTICS_ENABLED": "true", "DO_NOT_TRACK": "0"}
    assert fresh(ENVIRONMENT, str(tmp_path), **own) == "true 0"


@pytest.mark.slow
def test_a_flow_reaches_nobody_but_this_machine(tmp_path) -> None:
    reached = json.loads(fresh(RUN, str(tmp_path)))
    assert set(reached) <= {"127.0.0.1", "localhost", "::1"}
