"""Who may do what; every change is recorded."""
