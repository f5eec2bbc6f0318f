"""``prefdata demo``: the whole road on an embedded default, by the commands that a reader could type."""
