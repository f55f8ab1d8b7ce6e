"""What an object store gives that a disk does not: conditions, refusals, options, secrets."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import xarray as xr
from botocore.exceptions import EndpointConnectionError

from flows.cli import run_program
from simlib import artifact, lease, retry
from simlib.artifact import create_bytes, publishing, replace_bytes, write_bytes, write_files
from simlib.config import SimulationConfig, Storage
from simlib.dataset import publish as publishing_module
from simlib.dataset.open import open_dataset
from simlib.dataset.publish import Latest, publish, published_dataset
from simlib.dataset.store import write_template
from simlib.errors import InputError
from simlib.etc.grid.store import open_terms_grid, publish_terms_grid
from simlib.lease import Holder, leased
from simlib.location import Location
from simlib.retry import persist
from tests.simlib.dataset.made import EXAMPLE, make_plan, make_published
from tests.storage.object_store import KEY, SECRET, WRONG_KEY, Bucket, credentials


def methods(bucket: Bucket) -> list[str]:
    return [method for method, _, _ in bucket.server.seen]


def test_a_small_file_is_one_request_and_so_is_one_that_is_not_there(bucket: Bucket) -> None:
    place = bucket.place / "a"
    write_bytes(place, b"123456")
    bucket.server.seen.clear()
    assert place.read_bytes() == b"123456"
    assert (bucket.place / "b").read_bytes() is None
    assert methods(bucket) == ["GET", "GET"]
    assert place.read_bytes(start=-2) == b"56"
    assert place.read_bytes(0, 3) == b"123"


def test_a_template_asks_for_nothing_that_is_not_there(bucket: Bucket) -> None:
    store, plan = bucket.place / "d", make_plan()
    bucket.server.seen.clear()
    digests = write_template(store, plan, EXAMPLE)
    asked = [path for method, path, _ in bucket.server.seen if method == "GET"]
    assert Counter(methods(bucket))["PUT"] == len(digests)
    assert len(asked) <= len(digests) + 3  # listings, and what was written read back
    bucket.server.seen.clear()
    assert write_template(store, plan, EXAMPLE) == digests
    assert Counter(methods(bucket)) == {"GET": len(digests) + 1}


def test_terms_are_put_and_asked_for_file_by_file_once(bucket: Bucket) -> None:
    config = SimulationConfig(storage=Storage(root=bucket.url, options=bucket.options))
    many = {f"v{number}": ("x", np.arange(4.0)) for number in range(8)}
    grid = xr.Dataset(many, attrs={"fingerprint": "0123456789abcdef"})
    bucket.server.seen.clear()
    folder = publish_terms_grid(grid, config)
    assert Counter(methods(bucket))["PUT"] == len(folder.sizes())
    files = len(folder.sizes())
    bucket.server.seen.clear()
    xr.testing.assert_identical(open_terms_grid(folder), grid)
    assert Counter(methods(bucket)) == {"GET": files + 1}  # a listing


def test_of_many_that_create_a_file_one_does(bucket: Bucket) -> None:
    place = bucket.place / "a"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: create_bytes(place, b"%d" % n), range(8)))
    assert sum(made) == 1
    assert place.read_bytes() == b"%d" % made.index(True)


def test_of_many_that_change_a_file_none_is_lost(bucket: Bucket) -> None:
    place = bucket.place / "a"

    def add(number: int) -> None:
        replace_bytes(place, lambda held: (held or b"") + b"%d" % number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    assert sorted(place.read_bytes() or b"") == sorted(b"01234567")


def test_a_change_whose_answer_was_lost_is_not_taken_for_another_s(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = bucket.place / "a"
    write_bytes(place, b"old")
    tag, given = place.tag(), []
    write_bytes(place, b"new")  # this went well, and was made once more with the old condition
    good = Location.tag
    monkeypatch.setattr(
        Location, "tag", lambda self: given.append(1) or (tag if len(given) == 1 else good(self))
    )
    replace_bytes(place, lambda held: b"new")
    assert len(given) == 1


def test_a_publisher_tells_whom_it_replaced_meanwhile(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    _, manifest = published_dataset(make_published(tmp_path, make_plan()))
    latest = bucket.place / "datasets/stars/latest.json"
    good, other = publishing_module.encoded, artifact.encoded(Latest(fingerprint="f" * 16))

    def late(record: Any) -> bytes:
        if not latest.exists():
            write_bytes(latest, other)
        return good(record)

    monkeypatch.setattr(publishing_module, "encoded", late)
    folder = latest.beside(manifest.fingerprint)
    publish(folder, manifest)
    assert "another version was published meanwhile" in caplog.text
    assert published_dataset(latest.parent) == (folder, manifest)


def test_a_folder_is_put_in_place_of_another_its_top_first_gone_and_last_there(
    bucket: Bucket,
) -> None:
    place = bucket.place / "x.zarr"
    write_files(place, {"zarr.json": b"1", "old/c": b"1"})
    bucket.server.seen.clear()
    with publishing(place, replace=True) as beside:
        write_files(beside, {"zarr.json": b"2", "new/c": b"2", "new/d": b"2"})
    changes = [(m, p.rpartition("x.zarr/")[2]) for m, p, _ in bucket.server.seen if m != "GET"]
    assert place.read_files(place.sizes()) == {"zarr.json": b"2", "new/c": b"2", "new/d": b"2"}
    assert changes[-1] == ("PUT", "zarr.json")


def test_a_lease_is_held_by_one_and_taken_from_the_dead(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = bucket.place / "lease.json"
    held = r"the run is held by process \d+ on .*wait for it"
    with leased(place, "the run"), pytest.raises(InputError, match=held), leased(place, "the run"):
        raise AssertionError
    assert not place.exists()
    gone = Holder(process=2**22 + 1, node="elsewhere", token="x", renewed=0.0)
    artifact.write_record(place, gone)
    with leased(place, "the run"):
        assert artifact.read_record(place, Holder) != gone
    assert not place.exists()
    write_bytes(place, b"")
    with leased(place, "the run"):
        pass


def test_who_lost_a_lease_is_told_and_leaves_it_to_the_other(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 0.05)
    place = bucket.place / "lease.json"
    other = Holder(process=1, node="elsewhere", token="x", renewed=0.0)
    with leased(place, "the run") as is_lost:
        before = artifact.read_record(place, Holder)
        while artifact.read_record(place, Holder) == before:  # until it is renewed
            is_lost.wait(0.01)
        artifact.write_record(place, other)
        while not is_lost.wait(0.01):  # a renewal that was on its way undid that
            artifact.write_record(place, other)
    assert artifact.read_record(place, Holder) == other


def test_a_lost_connection_is_no_damage_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = open_dataset(make_published(tmp_path, make_plan()), "train")["flux"]
    error, paused = EndpointConnectionError(endpoint_url="http://127.0.0.1:9"), []
    monkeypatch.setattr(retry, "sleep", paused.append)

    def refused(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Location, "read_bytes", refused)
        with pytest.raises(EndpointConnectionError):
            persist("rows", lambda: rows[:3].values)
    with pytest.raises(EndpointConnectionError), artifact.reading(Location.of("x"), "mend it"):
        raise error
    assert paused == list(retry.PAUSES_S)
    assert rows[:3].shape == (3, 32)


NO_KEY = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "")
NO_SERVER = {
    "endpoint_url": "http://127.0.0.1:9",
    "config_kwargs": {"retries": {"max_attempts": 0}},
}
REFUSALS: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "wrong key": ({"AWS_ACCESS_KEY_ID": WRONG_KEY}, {}, "access refused"),
    "no key": (NO_KEY | {"AWS_EC2_METADATA_DISABLED": "true"}, {}, "credentials"),
    "no profile": ({}, {"profile": "nobody"}, "profile (nobody) could not be found"),
    "no bucket": ({}, {}, "bucket"),
    "no server": ({}, NO_SERVER, "endpoint_url"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_store_that_refuses_is_told_in_one_message(
    name: str, bucket: Bucket, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(retry, "sleep", lambda _: None)
    environment, options, told = REFUSALS[name]
    root = "s3://nowhere-at-all/root" if name == "no bucket" else bucket.url
    config = {"storage": {"root": root, "options": bucket.options | options}}
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(config))
    with credentials(**environment):
        code = run_program(["build", str(tmp_path / "mine.toml")])
    said = capfd.readouterr().err
    assert code == 2, said
    assert said.count("error:") == 1 and "Traceback" not in said
    assert told in said and SECRET not in said


def test_every_option_of_the_file_system_reaches_the_store(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(
        "[survey]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = x\n"
    )
    seen = bucket.server.seen

    def headers(**options: Any) -> dict[str, str]:
        seen.clear()
        with suppress(PermissionError):  # of an unknown key, or none
            write_bytes(Location.of(f"{bucket.url}/a", bucket.options | options), b"1")
        return seen[-1][2]

    with credentials(AWS_SHARED_CREDENTIALS_FILE=str(tmp_path / "keys")):
        plain = headers()
        assert KEY in plain["AUTHORIZATION"] and "/us-east-1/s3/" in plain["AUTHORIZATION"]
        assert "AUTHORIZATION" not in headers(anon=True)
        assert "AKIAPROFILE" in headers(profile="survey")["AUTHORIZATION"]
        there = headers(client_kwargs={"region_name": "eu-west-3"})
        assert "/eu-west-3/s3/" in there["AUTHORIZATION"]
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/survey"}
        secured = headers(s3_additional_kwargs=encryption)
        assert secured["X_AMZ_SERVER_SIDE_ENCRYPTION"] == "aws:kms"
        assert secured["X_AMZ_SERVER_SIDE_ENCRYPTION_AWS_KMS_KEY_ID"] == "alias/survey"
        assert "X_AMZ_SERVER_SIDE_ENCRYPTION" not in plain


def test_so_many_files_are_written_over_few_connections(bucket: Bucket) -> None:
    bucket.server.at_once = 0
    write_files(bucket.place, {f"a/{number}": b"1" for number in range(24)})
    assert 2 < bucket.server.at_once <= 10
    few = Location.of(bucket.url, bucket.options | {"config_kwargs": {"max_pool_connections": 2}})
    bucket.server.at_once = 0
    write_files(few, {f"b/{number}": b"1" for number in range(8)})
    assert len(few.read_files(few.sizes())) == 32
    assert bucket.server.at_once <= 2
