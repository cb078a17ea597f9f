"""Baseline files: format, updates, hazards."""
