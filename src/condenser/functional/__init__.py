"""Pure tensor functions: torch only, stateless, usable in a notebook."""
