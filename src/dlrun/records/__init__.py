"""Runs as lines of text that outlive their folders: packed, checked, merged and looked up (no torch)."""
