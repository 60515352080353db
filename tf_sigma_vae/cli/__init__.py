"""Commands: flags, then a configuration, then one call."""
