"""Models: how users name one, where its weights are, how it is loaded, and what is refused for safety."""
