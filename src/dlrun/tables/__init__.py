"""Published tables: what was printed, which runs stand for it, and how the two compare."""
