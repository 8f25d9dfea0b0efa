"""What many runs add up to: leaderboards, pages, and the writing of tables in every format."""
