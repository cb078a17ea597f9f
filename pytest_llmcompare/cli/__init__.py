"""The commands of `llmcompare`, one module each. None of them runs a model."""
