"""Responses → judgments by models and rules, and the pairs that follow from them."""
