"""What many runs add up to: leaderboards and pages."""
