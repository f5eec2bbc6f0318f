"""Judge templates: what is sent, which labels stand for the two responses, and how the verdict is read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from prefdata.errors import InputError, UsageError
from prefdata.records.ids import canonical
from prefdata.schema import violations

FOLDER = Path(__file__).parent / "templates"
PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
SHOWN = ("prompt", "response_a", "response_b", "reference")
LABELS = ("label_a", "label_b", "label_tie")
OURS = ("model", "messages", "n", "stream", "logprobs", "top_logprobs", "response_format")
"""Fields of a request that follow from the template and are not parameters of it."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was checked: every placeholder is known, every label can be told from the others."""

    document: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def sha256(self) -> str:
        """SHA-256 of the template's content; comments and layout do not count."""
        return hashlib.sha256(canonical(self.document)).hexdigest()

    @property
    def labels(self) -> Mapping[str, str]:
        """What the judge calls the first response shown ("a"), the second ("b") and, maybe, a tie ("tie")."""
        labels: Mapping[str, str] = self.document["labels"]
        return labels

    @property
    def verdict(self) -> Mapping[str, Any]:
        """How the verdict is read."""
        verdict: Mapping[str, Any] = self.document["verdict"]
        return verdict

    @property
    def wants_reference(self) -> bool:
        """Whether the judge is shown a reference answer."""
        return any("reference" in PLACEHOLDER.findall(self.document.get(part, "")) for part in ("system", "user"))

    def messages(self, shown: Mapping[str, str]) -> list[dict[str, str]]:
        """The messages to send, from the texts of prompt, response_a, response_b and reference."""
        values = {**shown, **{f"label_{side}": label for side, label in self.labels.items()}}
        return [
            {"role": role, "content": filled(self.document[role], values)}
            for role in ("system", "user")
            if self.document.get(role)
        ]

    def request(self) -> dict[str, Any]:
        """The fields of every request besides its messages."""
        request = dict(self.document.get("parameters") or {})
        verdict = self.verdict
        if verdict["kind"] == "logprobs":
            request |= {"logprobs": True, "top_logprobs": verdict.get("top_logprobs", 5)}
        if verdict["kind"] == "json":
            schema = {"name": "verdict", "strict": True, "schema": verdict.get("schema") or self._answer_schema()}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        return request

    def _answer_schema(self) -> dict[str, Any]:
        field = self.verdict["field"]
        return {
            "type": "object",
            "properties": {field: {"enum": list(self.labels.values())}},
            "required": [field],
            "additionalProperties": False,
        }


def filled(text: str, values: Mapping[str, str]) -> str:
    """``text`` with its placeholders replaced in one pass: what a value holds is never replaced again.

    >>> filled("{{prompt}} | {{ response_a }}", {"prompt": "say {{response_a}}", "response_a": "no"})
    'say {{response_a}} | no'
    """
    return PLACEHOLDER.sub(lambda match: values[match[1]], text)


def built_in() -> dict[str, Path]:
    """The templates that ship with prefdata, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def load_template(name: str) -> Template:
    """The built-in template called ``name``, or that of a YAML file; raises UsageError with every problem it has."""
    shipped = built_in()
    path = shipped.get(name, Path(name))
    if name not in shipped and path.suffix not in (".yaml", ".yml") and not path.exists():
        raise UsageError(f"there is no template {name!r}", f"choose {', '.join(shipped)}, or name a YAML file")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such template file", f"built-in templates: {', '.join(shipped)}") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "name a YAML file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8", "save it as UTF-8") from None
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f" at line {place.line + 1}" if place else ""
        raise UsageError(
            f"{path} is not YAML{where}", "quote text that holds ': ' or '#', indent with spaces"
        ) from None
    return checked(document, str(path))


def checked(document: Any, name: str) -> Template:
    """``document`` as a template; raises UsageError that lists every problem of it."""
    problems = [f"{each.pointer or '/'}: {each.message}" for each in violations("judge_template", document)]
    if not problems:
        problems = list(_problems(document))
    if problems:
        raise UsageError(
            f"the template {name} cannot be used: {'; '.join(problems)}",
            "compare it with a built-in template: prefdata judge --templates",
        )
    return Template(document)


def _problems(document: Mapping[str, Any]) -> Iterator[str]:
    labels: Mapping[str, str] = document["labels"]
    verdict = document["verdict"]
    known = (*SHOWN, *(f"label_{side}" for side in labels))
    used: set[str] = set()
    for part in ("system", "user"):
        for placeholder in PLACEHOLDER.findall(document.get(part, "")):
            used.add(placeholder)
            if placeholder not in known:
                missing = placeholder in LABELS
                yield f"/{part}: " + (
                    f"{{{{{placeholder}}}}} has no label under /labels"
                    if missing
                    else f"unknown placeholder {{{{{placeholder}}}}} (known: {', '.join(known)})"
                )
    for side in ("response_a", "response_b"):
        if side not in used:
            yield f"/user: {{{{{side}}}}} is not shown"
    fold = str.casefold if verdict.get("ignore_case") else str
    if len({fold(label.strip()) for label in labels.values()}) < len(labels):
        yield "/labels: two of them are the same"
    for field in document.get("parameters") or {}:
        if field in OURS:
            yield f"/parameters/{field}: is set by prefdata"
    if verdict["kind"] == "regex":
        yield from _pattern_problems(verdict["pattern"], labels)
    if verdict["kind"] == "logprobs" and labels["a"][0] == labels["b"][0]:
        yield "/labels: a and b must differ in their first character, which is what the first token tells"


def _pattern_problems(pattern: str, labels: Mapping[str, str]) -> Iterator[str]:
    for placeholder in PLACEHOLDER.findall(pattern):
        if placeholder.removeprefix("label_") not in labels:
            yield f"/verdict/pattern: unknown placeholder {{{{{placeholder}}}}}"
            return
    try:
        compiled = verdict_pattern(pattern, labels)
    except re.error as error:
        yield f"/verdict/pattern: no regular expression ({error})"
        return
    if not compiled.groups:
        yield "/verdict/pattern: it needs a group that holds the label, as in \\[\\[(?P<label>A|B)\\]\\]"


def verdict_pattern(pattern: str, labels: Mapping[str, str], *, ignore_case: bool = False) -> re.Pattern[str]:
    """The compiled pattern, label placeholders filled in literally."""
    values = {f"label_{side}": re.escape(label) for side, label in labels.items()}
    return re.compile(filled(pattern, values), re.IGNORECASE if ignore_case else 0)
