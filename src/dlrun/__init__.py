"""Run image-classifier experiments from config files; see `dlrun --help`."""
