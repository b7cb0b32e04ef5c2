"""Batches: received, read, landed sealed, and followed until they are published."""
