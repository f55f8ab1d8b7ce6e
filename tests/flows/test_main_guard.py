"""A script without a main guard is told so before a process is started, and once."""

import subprocess
import sys
from pathlib import Path

import pytest

CALL = "from flows.main_guard import refuse_unguarded_script\n"
TOLD = "mine.py, line {}: this starts processes, and each would run the script again; put what it"


def run(folder: Path, text: str, *how: str) -> subprocess.CompletedProcess[str]:
    (folder / "mine.py").write_text(text)
    environment = {"PYTHONPATH": ":".join([str(Path(__file__).resolve().parents[2]), *sys.path])}
    return subprocess.run(
        [sys.executable, *(how or ("mine.py",))], cwd=folder, env=environment, text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("refuse_unguarded_script()\n", 2),
        ("def begin():\n    refuse_unguarded_script()\n\nif True:\n    begin()\n", 6),
        ("if __name__ == '__main__':\n    pass\nrefuse_unguarded_script()\n", 4),
        ("from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as pool:\n"
         "    pool.submit(refuse_unguarded_script).result()\n", 4),
    ],
)  # fmt: skip
def test_a_script_without_a_guard_is_told_where(text: str, line: int, tmp_path: Path) -> None:
    done = run(tmp_path, CALL + text)
    assert done.returncode == 1
    assert TOLD.format(line) in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("def main():\n    refuse_unguarded_script()\n"
         "if __name__ == '__main__':\n    main()\n", ()),
        ("if '__main__' == __name__:\n    for _ in range(2):\n"
         "        refuse_unguarded_script()\n", ()),
        ("", ("-c", CALL + "refuse_unguarded_script()")),
        ("refuse_unguarded_script()\n", ("-c", "import mine")),
    ],
)  # fmt: skip
def test_what_no_other_process_would_run_again_is_let_through(
    text: str, how: tuple[str, ...], tmp_path: Path
) -> None:
    done = run(tmp_path, CALL + text, *how)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_flow_of_a_script_without_a_guard_ends_with_that_message(tmp_path: Path) -> None:
    done = run(tmp_path, "import flows\nflows.specdenoise('tiny')\n")
    assert done.returncode == 1 and done.stderr.count("this starts processes") == 1


@pytest.mark.slow
def test_workers_take_no_file_of_the_folder_for_a_module_of_python(tmp_path: Path) -> None:
    for name in ("queue", "socket", "struct"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong file')")
    text = (
        "from flows.cluster import dask_client\nfrom flows.cluster_config import Cluster\n"
        "if __name__ == '__main__':\n    with dask_client(Cluster(workers=1)) as client:\n"
        "        print(client.submit(sum, [1, 2]).result(timeout=60))\n"
    )
    done = run(
        tmp_path, text, "-P", "-c", "import runpy; runpy.run_path('mine.py', None, '__main__')"
    )
    assert done.stdout == "3\n", done.stderr
