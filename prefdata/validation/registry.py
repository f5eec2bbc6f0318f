"""What a rule is, and the list of all rules.

A rule is one function in a file of its family (``rules/``), registered by a decorator that says what it looks at: a
raw line, a breach of the schema, a row, all rows together, or the audit of a sample of them. The decorator carries
everything that is said about the rule: in reports, by ``prefdata explain`` and in docs/rules.md.

Only a rule that is not switched off runs. A *guard* cannot be: without it the dataset could not be written or trained
on.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from prefdata.errors import UsageError
from prefdata.schema import Violation
from prefdata.types import Fix, Severity

if TYPE_CHECKING:
    from prefdata.validation.audit import Audit
    from prefdata.validation.batch import Batch
    from prefdata.validation.cycles import Cycle
    from prefdata.validation.duplicates import Group
    from prefdata.validation.lines import RawLine
    from prefdata.validation.near import Alike
    from prefdata.validation.row import Row
    from prefdata.validation.tokens import Tokens

Stage = Literal["line", "schema", "row", "tokens", "dataset", "ids", "cycles", "near", "audit"]
Action = Literal["quarantine", "drop", "keep"]
FAMILIES = (
    "syntax",
    "schema",
    "conversation",
    "tools",
    "preference",
    "contrast",
    "dataset",
    "near",
    "text",
    "answers",
    "audit",
    "tokens",
)
PREFIXES = {
    "SYN": "file and JSON syntax",
    "SCH": "the schema of a pair",
    "CNV": "the structure of conversations",
    "PRF": "the preference itself",
    "TXT": "the text of turns",
    "AUD": "the data set as a whole",
    "TOK": "tokens, as the trainer will see them (with --tokenizer)",
}


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a rule is broken; what is ``None`` is filled from the rule."""

    pointer: str = ""
    """JSON pointer into the row as it was given; empty for the whole row."""
    message: str | None = None
    hint: str | None = None
    span: tuple[int, int] | None = None
    """Bytes of the raw line to mark, where the rule knows better than the pointer."""
    sign: str | None = None
    """Text inside the value at the pointer to mark, rather than the whole of it."""
    parts: tuple[str, str] | None = None
    """Two texts that should agree, to be shown one below the other with the place where they part."""
    fix: Fix | None = None
    """How the row can be mended; its edits point into the row (or the bytes of the line) as it was given."""


@dataclass(frozen=True, slots=True)
class DatasetHit:
    """A hit of a rule over all rows: ``ordinal`` counts the rows that passed every other rule, from 0."""

    ordinal: int
    hit: Hit
    others: tuple[int, ...] = ()
    """Ordinals of the rows that it clashes with."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: what it is called, what happens to a row that breaks it, what is said about it, and its function."""

    code: str
    name: str
    severity: Severity
    action: Action
    message: str
    hint: str
    why: str
    bad: tuple[bytes, ...]
    """Lines of which at least one breaks the rule."""
    good: tuple[bytes, ...]
    """The same lines, mended: they break no rule at all."""
    guard: bool
    stage: Stage
    check: Callable[..., Iterable[Any]]
    screen: Callable[[Batch], Iterable[int]] | None = None
    """For row rules: the rows of a batch that may break it. Must miss none that ``check`` would find."""
    fallback: bool = False
    """For line rules: asked only where no other line rule explains why a line cannot be read."""
    flag: str | None = None
    """The flag of the command line without which the rule does not run; ``None`` for rules that run by default."""

    @property
    def order(self) -> tuple[int, str]:
        """Where the rule stands among all rules: syntax first."""
        return list(PREFIXES).index(self.code[:3]), self.code


_RULES: dict[str, Rule] = {}


def _register(
    stage: Stage,
    code: str,
    name: str,
    *,
    message: str,
    hint: str,
    why: str,
    bad: bytes | Sequence[bytes],
    good: bytes | Sequence[bytes],
    severity: Severity = "error",
    action: Action | None = None,
    guard: bool = False,
    screen: Callable[[Batch], Iterable[int]] | None = None,
    fallback: bool = False,
    flag: str | None = None,
) -> Callable[[Callable[..., Iterable[Any]]], Callable[..., Iterable[Any]]]:
    def register(check: Callable[..., Iterable[Any]]) -> Callable[..., Iterable[Any]]:
        assert code not in _RULES, f"two rules share the code {code}"
        _RULES[code] = Rule(
            code=code,
            name=name,
            severity=severity,
            action=action or ("quarantine" if severity == "error" else "keep"),
            message=message,
            hint=hint,
            why=" ".join(why.split()),
            bad=(bad,) if isinstance(bad, bytes) else tuple(bad),
            good=(good,) if isinstance(good, bytes) else tuple(good),
            guard=guard,
            stage=stage,
            check=check,
            screen=screen,
            fallback=fallback,
            flag=flag,
        )
        return check

    return register


def line_rule(
    code: str, name: str, **about: Any
) -> Callable[[Callable[[RawLine], Iterable[Hit]]], Callable[[RawLine], Iterable[Hit]]]:
    """Register a rule over one raw line, parsed or not."""
    return _register("line", code, name, **about)


def schema_rule(
    code: str, name: str, **about: Any
) -> Callable[[Callable[[Violation, Any], Iterable[Hit]]], Callable[[Violation, Any], Iterable[Hit]]]:
    """Register a rule over one breach of the schema, given with the whole document."""
    return _register("schema", code, name, **about)


def row_rule(
    code: str, name: str, **about: Any
) -> Callable[[Callable[[Row], Iterable[Hit]]], Callable[[Row], Iterable[Hit]]]:
    """Register a rule over one row that holds to the schema, in its canonical form."""
    return _register("row", code, name, **about)


def dataset_rule(
    code: str, name: str, **about: Any
) -> Callable[[Callable[[Group], Iterable[DatasetHit]]], Callable[[Group], Iterable[DatasetHit]]]:
    """Register a rule over a group of rows that share a prompt and both answers, in either order."""
    return _register("dataset", code, name, **about)


def id_rule(
    code: str, name: str, **about: Any
) -> Callable[[Callable[[Group], Iterable[DatasetHit]]], Callable[[Group], Iterable[DatasetHit]]]:
    """Register a rule over a group of different rows to which one id was given."""
    return _register("ids", code, name, **about)


def cycle_rule(
    code: str, name: str, **about: Any
) -> Callable[[Callable[[Cycle], Iterable[DatasetHit]]], Callable[[Cycle], Iterable[DatasetHit]]]:
    """Register a rule over rows of one prompt whose preferences go round in a circle."""
    return _register("cycles", code, name, **about)


def audit_rule(
    code: str, name: str, **about: Any
) -> Callable[[Callable[[Audit], Iterable[Hit]]], Callable[[Audit], Iterable[Hit]]]:
    """Register a rule over what the audit of a sample of all rows came to; its hits belong to no row.

    The pointer of a hit names what it is about, as in "/length".
    """
    return _register("audit", code, name, **about)


def token_rule(
    code: str, name: str, **about: Any
) -> Callable[[Callable[[Tokens], Iterable[Hit]]], Callable[[Tokens], Iterable[Hit]]]:
    """Register a rule over one row as a trainer tokenises it; such rules run only with ``--tokenizer``."""
    return _register("tokens", code, name, flag="--tokenizer", **about)


def near_rule(
    code: str, name: str, **about: Any
) -> Callable[[Callable[[Alike], Iterable[DatasetHit]]], Callable[[Alike], Iterable[DatasetHit]]]:
    """Register a rule over two rows that are nearly the same; such rules run only with ``--near-duplicates``."""
    return _register("near", code, name, flag="--near-duplicates", **about)


@functools.cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, by code."""
    for family in FAMILIES:
        importlib.import_module(f"prefdata.validation.rules.{family}")
    return tuple(sorted(_RULES.values(), key=lambda rule: rule.order))


def rule_of(code: str) -> Rule:
    """The rule with this code or name, in any case; raises UsageError with the nearest ones where there is none."""
    import difflib

    wanted = code.strip().lower()
    names: dict[str, Rule] = {}
    for rule in all_rules():
        names[rule.code.lower()] = names[rule.name] = rule
    if wanted in names:
        return names[wanted]
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(names[name].code for name in near)}?" if near else ""
    raise UsageError(f"there is no rule {code!r}", meant or "prefdata explain lists all rules")


def selected(
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    flags: Sequence[str] = (),
    severities: Sequence[tuple[str, Severity]] = (),
) -> tuple[Rule, ...]:
    """The rules that run: those that ``select`` names by code, name or prefix (all without it) less ``ignore``.

    Guards always run, and rules that need a flag only where it is among ``flags``. Raises UsageError where a name means
    no rule, where ``select`` names only rules whose flag is not given, or where ``ignore`` names a guard outright.

    ``severities`` gives rules another severity, by code, name or prefix, the last word counting: an error refuses its
    rows, a warning or an info keeps them. Guards stay errors: a prefix passes over them, a code raises UsageError.
    """
    able = {rule.code for rule in all_rules() if rule.flag is None or rule.flag in flags}
    chosen = {rule.code for name in select for rule in _able(name, able)} if select else set(able)
    for name in ignore:
        named = _named(name)
        if all(rule.guard for rule in named):
            what = f"{named[0].code} ({named[0].name})" if len(named) == 1 else f"the rules {name.upper()}"
            raise UsageError(
                f"{what} cannot be ignored: a row that breaks it cannot be written to a dataset or trained on",
                "mend or remove the rows, or let them be quarantined and accept their share with --max-bad",
            )
        chosen -= {rule.code for rule in named}
    graded = _graded(severities)
    return tuple(
        graded.get(rule.code, rule) for rule in all_rules() if (rule.guard and rule.code in able) or rule.code in chosen
    )


def _graded(severities: Sequence[tuple[str, Severity]]) -> dict[str, Rule]:
    """Rules with the severity that they have in this run."""
    graded: dict[str, Rule] = {}
    for name, severity in severities:
        named = _named(name)
        if severity != "error" and all(rule.guard for rule in named):
            raise UsageError(
                f"{named[0].code} ({named[0].name}) stays an error: a row that breaks it cannot be trained on",
                "mend or remove the rows, or accept their share with --max-bad",
            )
        for rule in named:
            if not rule.guard:
                action: Action = rule.action
                if rule.action != "drop" and rule.stage != "audit":
                    action = "quarantine" if severity == "error" else "keep"
                graded[rule.code] = replace(rule, severity=severity, action=action)
    return graded


def _able(name: str, able: Iterable[str]) -> list[Rule]:
    named = _named(name)
    found = [rule for rule in named if rule.code in able]
    if not found:
        raise UsageError(f"{named[0].code} ({named[0].name}) runs only with {named[0].flag}", "give that flag too")
    return found


def _named(name: str) -> list[Rule]:
    found = [rule for rule in all_rules() if rule.code.startswith(name.upper()) or rule.name == name.lower()]
    return found if found and name else [rule_of(name)]
