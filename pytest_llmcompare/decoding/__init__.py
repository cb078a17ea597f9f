"""How a model is asked to generate: decoding settings, batches, and the engine that runs them."""
