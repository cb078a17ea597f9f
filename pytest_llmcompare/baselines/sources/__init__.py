"""Where baselines come from: files beside the tests, a commit, an MLflow run, another model of this run."""
