"""How far the update of a rule points along the gradient of a validation loss; torch alone."""
