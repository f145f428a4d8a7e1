"""Statistics of training data, the problems that they show, and methods meant for these."""
