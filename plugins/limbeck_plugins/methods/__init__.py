"""Published methods, one YAML file each."""
