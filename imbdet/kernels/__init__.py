"""Computation of losses in little memory and time: chunks of logits, and sums over all pairs."""
