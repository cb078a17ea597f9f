"""Comparison: verdicts, noise, statistics, the summary. Pure functions over frozen records."""
