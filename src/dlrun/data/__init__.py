"""Data sets: found or fetched, read, checked, and held as tensors of bytes."""
