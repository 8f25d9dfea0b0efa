"""Runs as jobs of Slurm: what is asked of it, who is submitted, what became of them."""
