"""The kernels compile for GPUs that need not be there, and fit into them."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="Triton is not installed: it comes with torch for CUDA")

# What a program may have on the smallest GPU of the Ampere generation and all after it.
MOST_SHARED_BYTES = 99 * 1024


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_kernels_compile_ahead_of_time(architecture: str, tmp_path: object) -> None:
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.graphed.compile_kernels", architecture],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.split("\n")[:-1]
    assert {line.split()[0] for line in lines} == {"first_pass", "small_step", "update_row"}
    assert all(int(line.split()[-1]) <= MOST_SHARED_BYTES for line in lines), done.stdout
