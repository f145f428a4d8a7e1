"""Kernels in Triton's language, for GPUs: each reads the logits once, and writes their gradient."""
