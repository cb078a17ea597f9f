"""Baselines: the approved generations, one file per table and model beside the tests, and how they are kept."""
