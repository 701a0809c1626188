"""The machine that measured, by what its figures depend on: results of another one are on another board."""

from __future__ import annotations

import functools

from tinytorch.benchmarking.result import Machine, digest
from tinytorch.profiling.environment import describe


@functools.cache
def this_machine() -> Machine:
    """This machine, with a fingerprint of its processor, cores, system, Python and libraries.

    >>> this_machine().fingerprint == this_machine().fingerprint
    True
    """
    here = describe()
    parts = (here.processor, str(here.cores), here.system, here.python, here.numpy, here.tinytorch)
    return Machine(
        fingerprint=digest("\n".join(parts).encode())[:16],
        processor=here.processor,
        cores=here.cores,
        system=here.system,
        python=here.python,
        numpy=here.numpy,
        tinytorch=here.tinytorch,
    )
