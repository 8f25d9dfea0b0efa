"""What lies in a run's folder: result, history, config, checkpoints."""
