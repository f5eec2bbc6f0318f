"""The same loss and gradient as TRL's, sooner: shared prefixes, a narrow LM head, even batches, kept references."""

from __future__ import annotations

from prefdata_trainer.fast.forward import FastForward
from prefdata_trainer.fast.references import ReferenceCache, reference_cache, reference_hash
from prefdata_trainer.fast.sampling import LengthGrouped
from prefdata_trainer.fast.speed import Speed

__all__ = ["FastForward", "LengthGrouped", "ReferenceCache", "Speed", "reference_cache", "reference_hash"]
