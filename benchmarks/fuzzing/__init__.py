"""Hostile inputs of fixed seeds, one module for each kind, and the answers of programs."""
