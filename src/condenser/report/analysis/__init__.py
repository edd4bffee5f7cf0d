"""What the records say: rows, columns, paired tests, checks."""
