"""What listens to a run: each sink is a callable that takes the events of `dlrun.events`."""
