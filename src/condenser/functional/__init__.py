"""Pure tensor maths: torch only, no state, usable in a notebook."""
