"""Who does the pieces of a job: this process, processes beside it, or the workers of a Dask cluster."""
