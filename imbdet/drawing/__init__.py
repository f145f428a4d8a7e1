"""The appearance of all figures: readable in print, in grey and for colour-blind readers."""
