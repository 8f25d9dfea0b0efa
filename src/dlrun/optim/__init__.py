"""Optimizers as Keras computes them, learning-rate schedules and averaged weights."""
