"""Restoring on the workers of a dask cluster: tasks of some seconds each, and the model loaded once a worker.

The process that has the client plans, holds the lock, keeps the journal and finishes the output. A worker opens the
image by its own path, restores the tiles of a task and writes them: whole chunks, each in one task only. It answers
when they are on the disk, and only then the journal names them; what a lost worker had begun is done again by another.
The smaller levels of a pyramid are made in the same way, each when the one before it is whole.
"""
