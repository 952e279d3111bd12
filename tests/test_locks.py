from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aigdetect.errors import UsageError
from aigdetect.locks import LOCK_NAME, alone_in, require_alone

REPOSITORY = Path(__file__).resolve().parents[1]


def test_a_second_run_is_refused_in_one_line_and_the_folder_is_left_clean(tmp_path: Path) -> None:
    require_alone(tmp_path / "none")
    require_alone(tmp_path)
    with alone_in(tmp_path):
        for attempt in (lambda: require_alone(tmp_path), lambda: alone_in(tmp_path).__enter__()):
            with pytest.raises(UsageError, match="another run is writing into it") as error:
                attempt()
            assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
    with alone_in(tmp_path):
        pass


def test_an_error_inside_gives_the_folder_back(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), alone_in(tmp_path):
        raise ValueError("inside")
    require_alone(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_does_not_count(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom aigdetect.locks import alone_in\n"
        "with alone_in(Path(sys.argv[1])):\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / LOCK_NAME).exists()
    require_alone(tmp_path)
    with alone_in(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="NOT TESTED: root may write everywhere")
def test_a_folder_that_cannot_be_written_into(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot be written"), alone_in(tmp_path):
        pass
