"""``prefdata agree``: agreement, consistency and bias of judges and people."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prefdata.cli import common
from prefdata.cli.output import print_json, say
from prefdata.cli.reading import byte_progress

if TYPE_CHECKING:
    from prefdata.pairing.agreement import Accuracy, Agreement, JudgeReport, RatingReport
    from prefdata.pairing.concordance import ModelReport, Together
    from prefdata.stats import Estimate, Rate

MOST_COLUMNS = 4
"""Judges that get a column of their own in the tables by group."""
BIAS = ("orders agree", "first shown wins", "longer wins", "ties", "both bad", "abstained", "unreadable", "failed")


@click.command("agree", short_help="Measure agreement, consistency and bias of judgments.")
@click.argument("judgments", nargs=-1, required=True)
@click.option("--gold", metavar="FILE", multiple=True, help="Judgments that are right, a person's for example.")
@click.option(
    "--responses",
    metavar="FILE",
    multiple=True,
    help="The responses judged: for preference for length, the models that wrote them, and sources.",
)
@click.option("--html", type=click.Path(path_type=Path), help="Write the report as one HTML page with plots too.")
@common.overwrite
@common.seed
@common.output_format
@common.quiet
@common.config
def command(
    judgments: tuple[str, ...],
    gold: tuple[str, ...],
    responses: tuple[str, ...],
    html: Path | None,
    overwrite: bool,
    seed: int,
    format: str,
    quiet: bool,
) -> int:
    """Measure how the judges and people of JUDGMENTS agree: with gold, with each other, and with themselves.

    Without --gold each is held against the majority of the others. "Longest wins" and "first shown wins" stand beside
    them. With --responses the models that wrote the responses are ranked too, and the report is given for each source
    of the prompts (a key source, dataset, category or domain of their metadata); for each criterion it always is.

    Intervals are at 95%: Wilson's for rates, bootstrap for means, kappa, alpha and (over couples) the preferences for
    what is shown first and for what is longer, normal for Elo and Kendall's W.
    Exit code 1 says that lines could not be read or judgments belong to no response.
    """
    from prefdata.pairing.agree import agree

    with byte_progress("reading", quiet=quiet) as progress:
        found = agree(
            judgments, gold or None, responses or None, seed=seed, html=html, overwrite=overwrite, progress=progress
        )
    if format == "json":
        print_json(dataclasses.asdict(found))
    else:
        for block in (*blocks(found), *group_blocks(found)):
            click.echo(block + "\n")
    if html is not None:
        say(f"page: {html}", quiet=quiet)
    for reason, number in found.unused.items():
        say(f"{number} judgments not used: {reason}", quiet=quiet)
    if found.invalid_lines:
        click.echo(f"{found.invalid_lines} lines hold no record", err=True)
    return 0 if found.ok else 1


def blocks(found: Agreement) -> list[str]:
    """The report as tables of plain text."""
    tables = []
    against = [(report.judge, report.accuracy) for report in found.judges if report.accuracy is not None]
    if against:
        rows = [*against, *((f"({baseline.name})", baseline.accuracy) for baseline in found.baselines)]
        undecided = f", {found.gold_undecided} more without a winner" if found.gold_undecided else ""
        title = f"Right, against gold on {found.gold_couples} couples{undecided}: % (95% interval)\n"
        if found.against == "others":
            title = "Agreement with the majority of the others, of baselines with that of all: % (95% interval)\n"
        head = [
            "",
            "couples",
            "order 0",
            "order 1",
            "mean",
            "both right",
            "orders agree",
            "decided",
            "right if decided",
        ]
        tables.append(title + table(head, [[name, *accuracy_cells(accuracy)] for name, accuracy in rows]))
    tables.append(
        "Consistency and bias: % (95% interval)\n"
        + table(
            ["", "judgments", "couples", *BIAS],
            [
                [report.judge, str(report.judgments), str(report.couples)]
                + [percent(report.orders_agree), percent(report.first_shown)]
                + [percent(report.longer) if report.longer else "-", percent(report.ties)]
                + [short(rate) for rate in (report.both_bad, report.abstained, report.unreadable, report.failed)]
                for report in found.judges
            ],
        )
    )
    if found.between:
        tables.append(
            "Between judges: Cohen's kappa (95% interval)\n"
            + table(
                ["", "", "couples", "same %", "kappa"],
                [[*one.judges, str(one.couples), percent(one.same), kappa(one.kappa)] for one in found.between],
            )
        )
    own = own_family_blocks(found.judges)
    together, ratings = together_blocks(found.together), rating_blocks(found.ratings)
    return [*tables, *own, *together, *ratings, *model_blocks(found.models)]


def own_family_blocks(found: Sequence[JudgeReport]) -> list[str]:
    """Judges of whose family some responses are."""
    rows = []
    for report in found:
        if (own := report.own_family) is not None:
            shares = [f"{100 * share:.1f}" if share is not None else "-" for share in (own.own_share, own.their_share)]
            against = f"{own.against} on {own.compared}" if own.compared else "-"
            rows.append([report.judge, own.family, str(own.couples), percent(own.wins)])
            rows[-1] += [against, *shares, percent(own.excess, sign=True)]
    if not rows:
        return []
    title = "Preference for responses of the judge's own family: % (95% interval; excess in points)\n"
    return [title + table(["", "family", "couples", "own wins", "against", "its share", "theirs", "excess"], rows)]


def rating_blocks(found: Sequence[RatingReport]) -> list[str]:
    """Ratings by criterion."""
    if not found:
        return []
    rows = []
    for one in found:
        means = ", ".join(f"{judge} {mean:.2f}" for judge, mean in one.means.items())
        rows.append([one.criterion, str(one.responses), kappa(one.alpha), means])
    title = "Ratings by criterion: Krippendorff's alpha, ordinal (95% interval)\n"
    return [title + table(["", "responses", "alpha", "mean rating"], rows)]


def together_blocks(found: Together) -> list[str]:
    """All judges at once."""
    if not found.units and not found.ranked_sets:
        return []
    rows = [
        ["Krippendorff's alpha, nominal", f"{found.units} couples", kappa(found.alpha_nominal)],
        ["Krippendorff's alpha, ordinal", f"{found.units} couples", kappa(found.alpha_ordinal)],
        ["Fleiss' kappa", f"{found.units} couples", kappa(found.fleiss)],
    ]
    if found.ranked_sets:
        rows.append(["Kendall's W of rankings", f"{found.ranked_sets} sets", kappa(found.kendall_w)])
    return ["All judges together (95% interval)\n" + table(["", "over", ""], rows)]


def model_blocks(found: Sequence[ModelReport]) -> list[str]:
    """The models that wrote the responses."""
    if not found:
        return []
    title = "Models that wrote the responses: Bradley-Terry with ties in Elo points; % of votes (95% interval)\n"
    rows = []
    for one in found:
        shares = (percent(one.wins), short(one.ties), percent(one.probability))
        rows.append([one.model, str(one.votes), points(one.elo), *shares])
    return [title + table(["", "votes", "Elo", "won", "tied", "mean probability"], rows)]


def group_blocks(found: Agreement) -> list[str]:
    """One table for each kind of group: what the judges say together in each, and how often each of them is right."""
    made = []
    right = f"right, {found.against}" if found.against == "gold" else "with the others"
    judges = [report.judge for report in found.judges if report.accuracy is not None][:MOST_COLUMNS]
    for by in ("source", "criterion"):
        rows = []
        for group in found.groups:
            if group.by == by:
                one = group.agreement.together
                alphas = [kappa(alpha) if one.units else "-" for alpha in (one.alpha_nominal, one.alpha_ordinal)]
                concordance = kappa(one.kendall_w) if one.ranked_sets else "-"
                accuracies = {report.judge: report.accuracy for report in group.agreement.judges}
                own = [accuracies.get(judge) for judge in judges]
                rows.append([group.name, str(group.agreement.judgments), str(one.units), *alphas, concordance])
                rows[-1] += [percent(accuracy.mean) if accuracy is not None else "-" for accuracy in own]
        if rows:
            head = ["", "judgments", "judged by several", "alpha nominal", "alpha ordinal", "Kendall's W"]
            title = f"By {by} (95% interval; --format json and --html hold every table of each)\n"
            made.append(title + table([*head, *(f"{judge} ({right})" for judge in judges)], rows))
    return made


def accuracy_cells(accuracy: Accuracy) -> list[str]:
    """One row of the table against gold."""
    rates = [accuracy.both_right, accuracy.orders_agree, accuracy.decided, accuracy.right_if_decided]
    orders = [percent(accuracy.order_0), percent(accuracy.order_1), percent(accuracy.mean)]
    return [str(accuracy.couples), *orders, *map(percent, rates)]


def percent(found: Rate | Estimate, *, sign: bool = False) -> str:
    """``94.5 (89.9-97.1)``, or ``-`` where undefined; ``sign`` is for differences: ``+12.7 (+8.1 to +17.0)``."""
    if found.value is None or found.low is None or found.high is None:
        return "-"
    if sign:
        return f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
    return f"{100 * found.value:.1f} ({100 * found.low:.1f}-{100 * found.high:.1f})"


def short(found: Rate) -> str:
    """A rate that is mostly 0, without its interval."""
    return "-" if found.value is None else f"{100 * found.value:.1f}"


def points(found: Estimate) -> str:
    """``1013 (990-1036)``."""
    if found.value is None or found.low is None or found.high is None:
        return "-"
    return f"{found.value:.0f} ({found.low:.0f}-{found.high:.0f})"


def kappa(found: Estimate) -> str:
    """``.852 (.821-.881)``, or ``undefined``; without an interval where there is none."""
    if found.value is None:
        return "undefined"
    if found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return f"{found.value:.3f} ({found.low:.3f}-{found.high:.3f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, as wide as their widest cell; columns that hold '-' in every row are left out."""
    kept = [n for n in range(len(head)) if any(row[n] != "-" for row in rows)]
    lines = [[line[n] for n in kept] for line in (head, *rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(kept))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
