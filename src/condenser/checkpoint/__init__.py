"""Models as data: specification and weights, packed file, input adapter."""
