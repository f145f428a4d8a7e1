"""What training data are like, which problems that makes, and what is meant for them."""
