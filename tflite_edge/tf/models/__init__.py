"""Models: the zoo, the user's own files, and the weights of zoo models trained on first use."""
