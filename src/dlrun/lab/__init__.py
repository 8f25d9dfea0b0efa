"""The jobs of a sweep on several machines that share a folder and have no scheduler of their own, by Dask."""
