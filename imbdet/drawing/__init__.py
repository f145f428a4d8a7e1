"""How everything that is drawn looks, readable in print, in grey and for colour-blind eyes."""
