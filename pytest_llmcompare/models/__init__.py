"""Models: what names one, where its weights are, and what is refused."""
