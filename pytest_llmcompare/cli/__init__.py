"""The `llmcompare` command, one module per group of commands. None of them runs a model."""
