"""``prefdata explain``: what a rule means, or where a pair came from, in a file of pairs or in a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from prefdata.cli.common import output_format
from prefdata.cli.output import print_json
from prefdata.errors import UsageError
from prefdata.records.codec import pair_record


@click.command(short_help="Explain a rule, or where a pair came from and who judged it.")
@click.argument("what", nargs=-1, metavar="[CODE | DATASET ID | PAIRS.jsonl ID | ADAPTER ID]")
@click.option(
    "--judgments",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the judgments of a pair stand. [default: beside the file of pairs]",
)
@output_format
def command(what: tuple[str, ...], judgments: Path | None, format: str) -> None:
    """Explain what the rule CODE means and how to mend it, or where the pair ID of a DATASET or of PAIRS.jsonl is from.

    A pair is told with its judgments: judge, template hash, order shown, seed, raw verdict, votes and cost; in a folder
    of a trained ADAPTER also with what training did to it. Without arguments, list all rules. An ID may be cut short
    where that leaves no doubt.
    """
    from prefdata.pairing.provenance import pair_document, pair_in, provenance_of, told
    from prefdata.validation.explain import provenance, rule_list, rule_page
    from prefdata.validation.registry import all_rules, rule_of
    from prefdata.validation.trained import trained_pair

    if len(what) > 2:
        raise UsageError("explain takes a rule, or a dataset and an id", "for example: prefdata explain PRF001")
    if len(what) == 2 and Path(what[0]).is_file():
        pair, line = pair_in(Path(what[0]), what[1])
        behind = provenance_of(pair.judgment_ids, pair.metadata, what[0], judgments)
        if format == "json":
            print_json(pair_document(pair, line, behind))
        else:
            click.echo("\n".join([*_pair_story(pair_record(pair), f"{what[0]}:{line}"), *told(behind, pair.metadata)]))
        return
    trained = trained_pair(*what) if len(what) == 2 else None
    if trained is not None:
        what = (str(trained.dataset), trained.id)
    if len(what) == 2:
        found = provenance(*what)
        row = found.row
        behind = provenance_of(row["judgment_ids"] or (), row["metadata"] or {}, row["source_file"], judgments)
        if format == "json":
            document = {"split": found.split, "row": found.row, "raw": found.raw, "note": found.note}
            document |= {"provenance": behind.document(), **({"trained": trained.row} if trained else {})}
            print_json(document)
        else:
            if trained is not None:
                click.echo("\n".join(trained.lines()))
            click.echo(_story(found))
            if row["judgment_ids"]:
                click.echo("\n".join(told(behind, row["metadata"] or {})))
        return
    rules = [rule_of(what[0])] if what else list(all_rules())
    if format == "json":
        print_json([{name: getattr(rule, name) for name in _TOLD} for rule in rules])
    else:
        click.echo(rule_page(what[0]) if what else rule_list())


_TOLD = ("code", "name", "severity", "action", "guard", "message", "hint", "why")


def _story(found: Any) -> str:
    row = found.row
    where = f"{row['source_file']}:{row['source_line']} (byte {row['source_byte']}), now in {found.split}"
    lines = _pair_story(row, where)
    lines.append("")
    if found.raw is not None:
        lines.extend(["--- the line as it stands in the input", found.raw])
    if found.note:
        lines.append(f"note: {found.note}")
    return "\n".join(lines)


def _pair_story(row: Mapping[str, Any], where: str) -> list[str]:
    lines = [f"id         {row['id']}", f"came from  {where}"]
    for name, label in (("margin", "margin"), ("probability", "P(chosen)")):
        if row.get(name) is not None:
            lines.append(f"{label:10} {row[name]}")
    if row.get("judgment_ids"):
        lines.append(f"judgments  {' '.join(row['judgment_ids'])}")
    lines.extend(
        f"{'metadata' if not index else '':10} {key}: {value}"
        for index, (key, value) in enumerate((row.get("metadata") or {}).items())
    )
    for side in ("prompt", "chosen", "rejected"):
        lines.append("")
        lines.append(f"--- {side}")
        if isinstance(row[side], str):
            lines.append(row[side])
        else:
            lines.extend(f"{turn['role']}: {turn.get('content') or turn.get('tool_calls')}" for turn in row[side])
    return lines
