"""Judgments to votes, comparisons, tiers and pairs; and how far judges and people agree."""
