"""Models behind OpenAI-compatible endpoints: paid calls that are made once, recorded, and never lost."""
