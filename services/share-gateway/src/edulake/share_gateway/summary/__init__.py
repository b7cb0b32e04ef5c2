"""What the gateway tells of itself: its use, its figures."""
