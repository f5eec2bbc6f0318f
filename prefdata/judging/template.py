"""Judge templates: what is sent, which labels stand for the responses, and how the verdict is read."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

from prefdata.errors import InputError, UsageError
from prefdata.judging.drawing import drawn_labels, nonce_for
from prefdata.records.ids import canonical

FOLDER = Path(__file__).parent / "templates"
PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")

Mode = Literal["pairwise", "pointwise", "listwise"]


@dataclass(frozen=True)
class Template:
    """A template that was checked: every placeholder is known, every label can be told from the others."""

    document: Mapping[str, Any]
    drawn: Mapping[str, str] | None = field(default=None, compare=False)
    """The labels of one call, where they are drawn or as many as there are responses."""
    nonce: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the template's content; comments and layout do not count."""
        return hashlib.sha256(canonical(self.document)).hexdigest()

    @property
    def mode(self) -> Mode:
        """How many responses one call shows."""
        mode: Mode = self.document.get("mode", "pairwise")
        return mode

    @property
    def labels(self) -> Mapping[str, str]:
        """What the judge calls the first response shown ("a"), the second ("b") and, maybe, a tie ("tie").

        Listwise: what it calls each response, by the place ("0", "1", …) at which it is shown.
        """
        labels: Mapping[str, str] = self.drawn if self.drawn is not None else self.document.get("labels", {})
        return labels

    @property
    def verdict(self) -> Mapping[str, Any]:
        """How the verdict is read."""
        verdict: Mapping[str, Any] = self.document["verdict"]
        return verdict

    @property
    def prepare(self) -> Sequence[Mapping[str, Any]]:
        """Calls made before a prompt is judged, in this order."""
        steps: Sequence[Mapping[str, Any]] = self.document.get("prepare") or ()
        return steps

    @property
    def criteria(self) -> Mapping[str, str]:
        """What to judge by: name and description."""
        criteria: Mapping[str, str] = self.document.get("criteria") or {}
        return criteria

    @property
    def wants_reference(self) -> bool:
        """Whether the judge is shown a reference answer that must come with the prompt."""
        made = any(step["name"] == "reference" for step in self.prepare)
        return not made and "reference" in placeholders(self.document)

    @property
    def per_criterion(self) -> bool:
        """Whether every criterion is a call of its own."""
        return "criterion" in placeholders(self.document)

    def with_criteria(self, criteria: Mapping[str, str]) -> Template:
        """The template with other criteria; raises UsageError where it shows none."""
        if not {"criteria", "criterion"} & placeholders(self.document):
            raise UsageError(
                f"the template {self.name} shows no criteria", "choose one that does: prefdata judge --templates"
            )
        return Template({**self.document, "criteria": dict(criteria)})

    def drawn_for(self, texts: Sequence[str], sample: int = 0, labels: Mapping[str, str] | None = None) -> Template:
        """The template as one call uses it, which shows ``texts``; the same call always gets the same labels."""
        labels, mode = labels if labels is not None else self.labels, self.document.get("draw")
        if mode is None:
            return dataclasses.replace(self, drawn=labels)
        nonce = nonce_for(self.sha256, texts, sample)
        return dataclasses.replace(self, drawn=drawn_labels(labels, mode, nonce, texts), nonce=nonce)

    def messages(self, shown: Mapping[str, str], part: Mapping[str, Any] | None = None) -> list[dict[str, str]]:
        """The messages to send, from the texts that fill the placeholders; ``part`` is a step of ``prepare``."""
        values = {
            "nonce": self.nonce,
            "criteria": "\n".join(listed(name, text) for name, text in self.criteria.items()),
            **shown,
            **{f"label_{side}": label for side, label in self.labels.items()},
        }
        source = self.document if part is None else part
        return [
            {"role": role, "content": filled(source[role], values)} for role in ("system", "user") if source.get(role)
        ]

    def item(self, label: str, response: str) -> str:
        """One response as a listwise template shows it."""
        return filled(self.document["item"], {"label": label, "response": response, "nonce": self.nonce})

    def request(self) -> dict[str, Any]:
        """The fields of every request besides its messages."""
        request = dict(self.document.get("parameters") or {})
        verdict = self.verdict
        if verdict["kind"] == "logprobs":
            request |= {"logprobs": True, "top_logprobs": verdict.get("top_logprobs", 5)}
        if verdict["kind"] == "json":
            answer = self._filled_in(verdict["schema"]) if "schema" in verdict else self._answer_schema()
            schema = {"name": "verdict", "strict": True, "schema": answer}
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

    def _filled_in(self, value: Any) -> Any:
        """A JSON value with the labels in its strings; other placeholders stay as they are."""
        if isinstance(value, str):
            labels = {f"label_{side}": label for side, label in self.labels.items()}
            return PLACEHOLDER.sub(lambda match: labels.get(match[1], match[0]), value)
        if isinstance(value, list):
            return [self._filled_in(each) for each in value]
        if isinstance(value, dict):
            return {key: self._filled_in(each) for key, each in value.items()}
        return value


def listed(name: str, text: str) -> str:
    """One criterion in a list.

    >>> listed("brevity", "says no more than is useful"), listed("brevity", "")
    ('- brevity: says no more than is useful', '- brevity')
    """
    return f"- {name}: {text}" if text else f"- {name}"


def placeholders(document: Mapping[str, Any]) -> set[str]:
    """The placeholders of all texts of a template."""
    texts = [document.get(part, "") for part in ("system", "user", "item")]
    texts += [step.get(part, "") for step in document.get("prepare") or () for part in ("system", "user")]
    return {name for text in texts for name in PLACEHOLDER.findall(text)}


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
    return checked(read_yaml(path, "template", f"built-in templates: {', '.join(shipped)}"), str(path))


def read_yaml(path: Path, what: str, hint: str) -> Any:
    """The document in a YAML file that the user named; raises InputError or UsageError."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such {what} file", hint) from None
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


def checked(document: Any, name: str) -> Template:
    """``document`` as a template; raises UsageError that lists every problem of it."""
    from prefdata.judging.checking import problems_of

    problems = problems_of(document)
    if problems:
        raise UsageError(
            f"the template {name} cannot be used: {'; '.join(problems)}",
            "compare it with a built-in template: prefdata judge --templates",
        )
    return Template(document)


def verdict_pattern(
    pattern: str, labels: Mapping[str, str], *, ignore_case: bool = False, nonce: str = ""
) -> re.Pattern[str]:
    """The compiled pattern, label placeholders and the nonce filled in literally."""
    values = {f"label_{side}": re.escape(label) for side, label in labels.items()} | {"nonce": re.escape(nonce)}
    return re.compile(filled(pattern, values), re.IGNORECASE if ignore_case else 0)
