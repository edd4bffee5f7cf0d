"""What lies in a run's folder: records, status; and which of a run's processes this is."""
