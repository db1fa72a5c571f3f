"""Damaged files, one after the other, through the commands that read them."""

import os

# Before any library is imported: a pool of threads would not live through a fork.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
