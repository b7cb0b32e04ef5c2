"""The SM3 chain of who read what."""
