"""One run from its config to its result, and what is done with a finished one."""
