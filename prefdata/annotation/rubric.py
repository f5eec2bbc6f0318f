"""What people are asked to rate beside the preference: a YAML file of criteria with their scales."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from prefdata.errors import InputError, UsageError
from prefdata.records.ids import canonical

LOW, HIGH, WIDEST = 1, 5, 20
"""The scale of a criterion that names none, and the most steps that one may have."""
EXAMPLE = "write 'criteria:', and below it lines like '  helpfulness: Does it do what was asked?'"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One quality, rated in whole steps from ``low`` to ``high``."""

    name: str
    question: str
    low: int = LOW
    high: int = HIGH


@dataclass(frozen=True, slots=True)
class Rubric:
    """A rubric file: instructions above every task, and criteria under every response."""

    document: Mapping[str, Any]
    instructions: str | None
    criteria: tuple[Criterion, ...]

    @property
    def sha256(self) -> str:
        """SHA-256 of the rubric's content; comments and layout do not count."""
        return hashlib.sha256(canonical(self.document)).hexdigest()


def read_rubric(path: Path) -> Rubric:
    """The rubric of a YAML file; raises InputError and UsageError, the latter with every problem at once."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", f"name a rubric file: {EXAMPLE}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {str(error).splitlines()[0]}", EXAMPLE) from None
    return rubric_from(found, str(path))


def rubric_from(document: Any, where: str = "rubric") -> Rubric:
    """A rubric from its document: ``instructions`` (text) and ``criteria`` (text, or question and scale, by name)."""
    problems: list[str] = []
    if not isinstance(document, dict):
        raise UsageError(f"{where} must be a YAML mapping", EXAMPLE)
    problems += [f"unknown key {key!r}" for key in document if key not in ("name", "instructions", "criteria")]
    instructions = document.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        problems.append("instructions must be text")
    found = document.get("criteria") or {}
    if not isinstance(found, dict):
        problems.append("criteria must be a mapping by name")
        found = {}
    criteria = [made for name, said in found.items() if (made := _criterion(str(name), said, problems)) is not None]
    if not problems and not criteria and not instructions:
        problems.append("it has neither instructions nor criteria")
    if problems:
        raise UsageError(f"{where}: {'; '.join(problems)}", EXAMPLE)
    return Rubric(document, instructions, tuple(criteria))


def _criterion(name: str, said: Any, problems: list[str]) -> Criterion | None:
    if isinstance(said, str) or said is None:
        return Criterion(name, said or name)
    if not isinstance(said, dict) or not set(said) <= {"question", "scale"}:
        problems.append(f"criterion {name!r} must be a question, or question and scale")
        return None
    scale = said.get("scale", [LOW, HIGH])
    whole = isinstance(scale, list) and len(scale) == 2 and all(type(end) is int for end in scale)
    if not whole or not 0 < scale[1] - scale[0] <= WIDEST:
        problems.append(f"the scale of {name!r} must be two whole numbers, as [1, 5], at most {WIDEST} apart")
        return None
    return Criterion(name, str(said.get("question") or name), scale[0], scale[1])
