"""The number of threads reaches every BLAS, those loaded later too."""

import subprocess
import sys

import pytest

from tinytorch import set_num_threads
from tinytorch.errors import TinyTorchError

LATE = """
import tinytorch as tt
from threadpoolctl import threadpool_info
from tinytorch import optim
tt.set_num_threads(1)
w = tt.ones(3, requires_grad=True)
w.sum().backward()
optim.SGD([w], lr=0.1).step()
pools = threadpool_info()
assert len({pool["filepath"] for pool in pools}) >= 2, pools
assert all(pool["num_threads"] == 1 for pool in pools), pools
assert tt.get_num_threads() == 1
"""


def test_a_library_loaded_later_is_held_to_it() -> None:
    run = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_less_than_one_is_refused() -> None:
    with pytest.raises(TinyTorchError, match="1 or more"):
        set_num_threads(0)
