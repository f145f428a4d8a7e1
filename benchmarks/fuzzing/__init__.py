"""Hostile inputs of fixed seeds, one module for each kind, and how programs answer to them."""
