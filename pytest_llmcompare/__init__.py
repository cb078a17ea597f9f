"""Compare language models on the same prompts, and gate CI on output drift against stored baselines."""
