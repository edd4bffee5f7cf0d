"""From the command line to a checked config: names, schema, messages, objects."""
