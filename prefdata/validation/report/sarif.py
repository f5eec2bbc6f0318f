"""The report as SARIF 2.1.0, which code hosts and editors show: the first findings of each rule, and exact totals."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from prefdata.records.sources import STDIN
from prefdata.validation.findings import Example
from prefdata.validation.registry import Rule, all_rules
from prefdata.validation.result import ValidationResult
from prefdata.version import __version__

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def document(result: ValidationResult) -> dict[str, Any]:
    """The log: one run, whose results are the findings shown."""
    wanted = {total.code for total in result.totals}
    rules = [rule for rule in all_rules() if rule.code in wanted]
    places = {rule.code: index for index, rule in enumerate(rules)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "prefdata", "version": __version__, "rules": [_rule(rule) for rule in rules]}
                },
                "columnKind": "unicodeCodePoints",
                "invocations": [{"executionSuccessful": True, "exitCode": result.exit_code}],
                "artifacts": [
                    {
                        "location": {"uri": _uri(receipt.path)},
                        "length": receipt.bytes,
                        "hashes": {"sha-256": receipt.sha256},
                    }
                    for receipt in result.inputs
                ],
                "results": [_result(example, places) for example in result.examples],
                "properties": {
                    "ok": result.ok,
                    "lines": result.counts.lines,
                    "kept": result.counts.kept,
                    "quarantined": result.counts.quarantined,
                    "dropped": result.counts.dropped,
                    "blank": result.counts.blank,
                    "findings": {total.code: total.findings for total in result.totals},
                },
            }
        ],
    }


def render(result: ValidationResult) -> str:
    """The log as indented JSON."""
    return orjson.dumps(document(result), option=orjson.OPT_INDENT_2).decode()


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.message},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.hint},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
    }


def _result(example: Example, places: dict[str, int]) -> dict[str, Any]:
    finding = example.finding
    said = finding.message + (f"\n{finding.hint}" if finding.hint else "")
    found: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": places[finding.code],
        "level": LEVELS[finding.severity],
        "message": {"text": said},
    }
    location: dict[str, Any] = {}
    if finding.file is not None:
        region: dict[str, Any] = {"startLine": finding.line, "snippet": {"text": example.excerpt}}
        if example.columns is not None:
            region |= {"startColumn": example.columns[0], "endColumn": example.columns[1]}
        location["physicalLocation"] = {"artifactLocation": {"uri": _uri(finding.file)}, "region": region}
        found["partialFingerprints"] = {"prefdataRow/v1": f"{finding.code}:{example.row}"}
    if finding.json_path:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.json_path, "kind": "value"}]
    if location:
        found["locations"] = [location]
    properties: dict[str, Any] = {} if finding.byte is None else {"byte": finding.byte}
    if finding.fix is not None:
        properties["fix"] = {"what": finding.fix.what, "safe": finding.fix.safe}
    return {**found, "properties": properties} if properties else found


def _uri(path: str) -> str:
    """A path as a URI: relative ones stay so, that a code host finds them in its repository."""
    if path == STDIN:
        return "stdin"
    if "://" in path:
        return path
    return Path(path).as_uri() if Path(path).is_absolute() else quote(Path(path).as_posix())
