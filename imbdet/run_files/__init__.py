"""What a training leaves in its folder, for all that read it: scalars, evaluations, the ledger."""
