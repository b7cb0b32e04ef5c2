"""Governed: batches become one trusted table per dataset."""
