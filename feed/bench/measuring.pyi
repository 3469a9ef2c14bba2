import numpy as np
import numpy.typing as npt

def cost(
    late_ns: npt.NDArray[np.int64], ticks: int, histograms: int, frames: bool, sampled: bool, on: bool
) -> float: ...
