"""A budget as target: recipes of rate × bits × coding are tried, the front is kept, one chosen."""
