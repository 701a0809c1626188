"""The ladder: matrix product, convolution and softmax from loops in Python up to registers and cores."""

from tinytorch.acceleration.ladder.climb import measure
from tinytorch.acceleration.ladder.convolution import im2col
from tinytorch.acceleration.ladder.matmul import blocked as matmul_blocked
from tinytorch.acceleration.ladder.report import Report
from tinytorch.acceleration.ladder.softmax import fused as softmax_fused

__all__ = ["Report", "im2col", "matmul_blocked", "measure", "softmax_fused"]
