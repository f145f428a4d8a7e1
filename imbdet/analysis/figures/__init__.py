"""One drawing for each set of numbers; readable in print, in grey and for colour-blind eyes."""
