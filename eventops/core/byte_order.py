"""Numbers in the byte order of other machines, as files of FITS, netCDF-3 and HDF5 hold them."""

import numpy as np


def native(values) -> np.ndarray:
    """An array of NumPy's in this machine's byte order, the only one that JAX and the native library know."""
    values = np.asarray(values)
    return values.astype(native_dtype(values.dtype), copy=False)


def native_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype with this machine's byte order."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")
