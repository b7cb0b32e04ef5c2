"""Batches as governance saw them: findings, and the rows held back with their reasons."""
