"""Runs as shares of an array of jobs, of whichever scheduler: what a job is given, and what it does with it."""
