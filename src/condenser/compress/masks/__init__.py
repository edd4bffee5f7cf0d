"""Weight pruning with masks."""
