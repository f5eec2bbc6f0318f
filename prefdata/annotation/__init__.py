"""Responses → judgments by people: the web app, the terminal form, the store of events."""
