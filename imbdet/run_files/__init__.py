"""Files that a training leaves in its folder: scalars, evaluations and the ledger."""
