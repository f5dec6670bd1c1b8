"""`stage1 serve` before it serves: what it says when it cannot."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundle.making import KeyPair, Maker


def serve(*arguments: str, forbidden: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command, where modules of one name cannot be imported."""
    script = (
        "import sys\n"
        "class Forbidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] == {forbidden!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name}', name=name)\n"
        "sys.meta_path.insert(0, Forbidden())\n"
        "from stage1.cli import main\n"
        "main()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script, "serve", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("library", ["starlette", "uvicorn", "prometheus_client"])
def test_without_the_extra_it_says_which_to_install(tmp_path: Path, library: str) -> None:
    done = serve(str(tmp_path), forbidden=library)
    assert (done.returncode, done.stderr) == (2, f"BadInput: Needs {library}: pip install 'stage1[serve]'.\n")


def test_the_other_commands_need_no_extra() -> None:
    script = "from stage1.cli import main; import sys; print({'starlette', 'uvicorn', 'torch'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "set()\n"
    )


def test_no_bundle_is_said_at_once(tmp_path: Path) -> None:
    done = serve(str(tmp_path))
    assert done.returncode == 2
    assert "BundleRejected" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_that_is_none_is_said_at_once_for_a_channel_too(tmp_path: Path) -> None:
    done = serve(str(tmp_path / "channels" / "demo.json"), "--public-key", str(tmp_path / "none.pem"))
    assert done.returncode == 2
    assert "none.pem" in done.stderr


def test_an_unsigned_bundle_is_said_at_once_where_a_key_is_given(tmp_path: Path) -> None:
    keys = KeyPair.make(tmp_path / "keys")
    done = serve(str(Maker(tmp_path / "made").path()), "--public-key", str(keys.public))
    assert done.returncode == 2
    assert "The bundle is not signed" in done.stderr


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    bundle = Maker(tmp_path / "made").path()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = serve(str(bundle), "--port", str(port))
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Name another port" in done.stderr
