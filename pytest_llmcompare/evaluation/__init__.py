"""Every MLflow door: pyfuncs, logging, evaluation, metrics, tracking."""
