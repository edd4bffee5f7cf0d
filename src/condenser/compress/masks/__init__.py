"""Weight pruning: which weights are zero, and how they stay zero."""
