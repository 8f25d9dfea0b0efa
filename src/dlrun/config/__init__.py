"""One run's fields: their meaning, how they are composed, checked and known by a hash."""
