"""A model as data: its specification and weights, the packed file, the adapter of its inputs."""
