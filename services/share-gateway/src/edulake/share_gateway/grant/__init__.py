"""Who may call what, in memory, at most seconds old."""
