"""Secrets in a config, an option or a URL are refused, with the way to give them, unrepeated."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from flows.cli import run_program
from flows.cli.options import storage_options
from simlib.config import Storage, load_config, validate
from simlib.errors import InputError
from simlib.location import Location
from simlib.secrets import has_password, refuse_secrets

SECRET = "hunter2-abc"
SECRETS: list[dict[str, Any]] = [
    {"key": SECRET}, {"secret": SECRET}, {"token": SECRET}, {"password": SECRET}, {"sas": SECRET},
    {"sas_token": SECRET}, {"account_key": SECRET}, {"accountKey": SECRET},
    {"connection_string": SECRET}, {"credential": SECRET}, {"passphrase": SECRET},
    {"client_kwargs": {"aws_secret_access_key": SECRET}}, {"AWS_ACCESS_KEY_ID": SECRET},
    {"client_kwargs": {"headers": {"Authorization": SECRET}}}, {"auth": ["me", SECRET]},
    {"config_kwargs": {"proxies": {"http": f"http://me:{SECRET}@proxy:80"}}},
    {"mirrors": [f"https://me:{SECRET}@host/x"]}, {"api_key": SECRET}, {"x": [{"pwd": SECRET}]},
]  # fmt: skip
FINE: dict[str, Any] = {
    "endpoint_url": "https://host:9000/?a=b", "anon": True, "profile": "survey", "n": 5,
    "config_kwargs": {"signature_version": "s3v4", "retries": {"max_attempts": 2}},
    "s3_additional_kwargs": {"SSEKMSKeyId": "arn:aws:kms:1"}, "key_filename": "~/.ssh/id",
    "user": "me", "use_ssl": False, "links": ["ftp://me@host/x"],
}  # fmt: skip


@pytest.mark.parametrize("options", SECRETS, ids=json.dumps)
def test_what_looks_like_a_secret_is_refused_with_the_way_to_give_it(
    options: dict[str, Any],
) -> None:
    given = [f"{key}={json.dumps(value)}" for key, value in options.items()]
    for refuse in (
        lambda: refuse_secrets(options),
        lambda: storage_options(given),
        lambda: validate(Storage, {"options": options}),
    ):
        with pytest.raises(InputError, match="in the environment .AWS_ACCESS_KEY_ID") as error:
            refuse()
        assert SECRET not in str(error.value)
        assert next(iter(options)) in str(error.value)


def test_other_options_are_taken() -> None:
    assert refuse_secrets(FINE) == FINE
    assert Storage(options=FINE).options == FINE


@pytest.mark.parametrize(
    ("text", "is_secret"),
    [("s3://me:pw@host/x", True), ("http://:pw@host", True), ("ftp://me@host/x", False),
     ("s3://bucket/a:b@c", False), ("./a:b@c", False), ("file:///a:b@c/d", False)],
)  # fmt: skip
def test_a_password_in_a_url_is_seen(text: str, is_secret: bool) -> None:
    assert has_password(text) is is_secret


WITH_PASSWORD = f"s3://me:{SECRET}@host/bucket"


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "tiny", "--set", f"storage.root={WITH_PASSWORD}"],
        ["build", "tiny", "--set", f"storage.options.secret={SECRET}"],
        ["build", "tiny", "--set", f"storage.options.client_kwargs.token={SECRET}"],
        ["build", "tiny", "--set", f"storage.options={SECRET}"],
        ["build", "tiny", "--set", f"secret={SECRET}"],
        ["build", "tiny", "--set", f"stellar.grid={WITH_PASSWORD}/g.zarr"],
        ["train", "tiny", "--set", f"train.runs={WITH_PASSWORD}"],
        ["simulate", "t.csv", "--out", "o.zarr", "--set", f"storage.options.key={SECRET}"],
        ["grid", "info", f"{WITH_PASSWORD}/g.zarr"],
        ["grid", "list", "--root", WITH_PASSWORD],
        ["grid", "info", "s3://bucket/g.zarr", "--storage-option", f"key={SECRET}"],
        ["replay", WITH_PASSWORD, "train", "0"],
        ["evaluate", "run", "--storage-option", f"secret={SECRET}"],
        ["report", "run", "--storage-option", f"secret={SECRET}"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(SECRET, "…"),
)
def test_no_verb_repeats_a_secret(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.DEBUG):
        assert run_program(arguments) == 2
    told = capfd.readouterr()
    assert SECRET not in told.err + told.out + caplog.text
    assert told.err.count("error:") == 1 and "Traceback" not in told.err
    assert list(tmp_path.iterdir()) == []


def test_a_location_never_shows_its_options(caplog: pytest.LogCaptureFixture) -> None:
    place = Location.of("s3://bucket/x", {"profile": "survey"})
    assert "survey" not in f"{place} {place!r}"


def test_a_file_with_a_secret_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'[storage.options]\nsecret = "{SECRET}"\n')
    with pytest.raises(InputError, match="storage.options.*looks like a secret") as error:
        load_config(file)
    assert SECRET not in str(error.value)
