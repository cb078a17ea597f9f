"""Everything that calls MLflow: pyfuncs, logging, evaluation, metrics, tracking."""
