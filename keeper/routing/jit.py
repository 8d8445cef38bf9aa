"""The one place that knows numba."""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_Kernel = TypeVar("_Kernel", bound=Callable[..., object])


def kernel(function: _Kernel) -> _Kernel:
    """Compiles a function of numbers and arrays to machine code, once per machine: the result is kept on disk."""
    return cast(_Kernel, njit(cache=True, error_model="numpy")(function))
