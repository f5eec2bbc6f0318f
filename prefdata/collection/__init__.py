"""Prompts → responses: samples from models, with the parameters that made them and the calls that gave none."""
