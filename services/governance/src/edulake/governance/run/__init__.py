"""Runs: the work of governing one batch, kept as rows that any worker can claim and finish."""
