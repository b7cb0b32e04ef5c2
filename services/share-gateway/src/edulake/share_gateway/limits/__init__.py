"""Rates and quotas: exact while Redis answers, a local share when it does not."""
