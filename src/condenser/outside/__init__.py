"""Code from outside this package: whose may be named in a file, and what it consists of."""
