"""Training data: where rows come from and in which shares."""
