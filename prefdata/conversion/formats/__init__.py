"""One file per format: how a row is recognised, and what it becomes."""
