"""The rules, one file for each family; a new file is also named in ``registry.FAMILIES``."""
