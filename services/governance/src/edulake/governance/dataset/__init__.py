"""Governed datasets: their contracts, versions, merging and restoring."""
