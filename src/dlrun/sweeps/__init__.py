"""Many runs: the points of a sweep, their processes, their display, search over them."""
