"""An agreement report as one HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from prefdata import pages
from prefdata.pages import Cell, Line, forest, least, matrix, section, table
from prefdata.pairing.agreement import Agreement, JudgeReport
from prefdata.pairing.concordance import Duel
from prefdata.stats import Estimate, Rate


def page(found: Agreement) -> str:
    """The whole page."""
    body = "".join([*sections(found, "h2"), *_groups(found)])
    intro = f"{found.judgments} judgments; judges: {len(found.judges)}; bars are 95% intervals."
    return pages.page("Agreement", intro, body)


def sections(found: Agreement, head: str = "h2") -> Iterable[str]:
    """The parts of the page, for another page to take in; ``head`` is the element of their headings."""
    against = [Line(one.judge, one.accuracy.mean) for one in found.judges if one.accuracy is not None]
    if against:
        against += [Line(f"({one.name})", one.accuracy.mean) for one in found.baselines]
        title, note = "Right, against gold", f"Share of orders right, on {found.gold_couples} couples on which gold has"
        if found.against == "others":
            title = "Agreement with the majority"
            note = "Share of orders that say what the majority of the others says (for baselines: of all), where it has"
        yield section(title, f"{note} a winner; dashed: chance.", forest(against, 0, 1, 0.5), head=head)
    together = found.together
    lines = [
        Line("Krippendorff's alpha, nominal", together.alpha_nominal),
        Line("Krippendorff's alpha, ordinal", together.alpha_ordinal),
        Line("Fleiss' kappa", together.fleiss),
        *([Line("Kendall's W of rankings", together.kendall_w)] if together.ranked_sets else []),
    ]
    if together.units or together.ranked_sets:
        note = f"{together.units} couples with two judges or more"
        note += f", {together.ranked_sets} sets ranked whole." if together.ranked_sets else "."
        yield section("All judges together", note, forest(lines, least(lines), 1, 0, digits=3), head=head)
    if found.between:
        lines = [Line(" – ".join(one.judges), one.kappa) for one in found.between]
        note = "Cohen's kappa of first, second and tie: 0 is chance, 1 is full agreement."
        yield section("Between judges", note, forest(lines, least(lines), 1, 0, digits=3), head=head)
    judges = found.judges
    biases: list[tuple[str, str, list[Line], float | None]] = [
        ("Consistent", "The same outcome with sides swapped.", [Line(j.judge, j.orders_agree) for j in judges], None),
        ("First shown wins", "Dashed: no preference.", [Line(j.judge, j.first_shown) for j in judges], 0.5),
        ("Longer wins", "Dashed: no preference.", [Line(j.judge, j.longer) for j in judges if j.longer], 0.5),
    ]
    for title, note, lines, zero in biases:
        if any(line.found.value is not None for line in lines):
            yield section(title, note, forest(lines, 0, 1, zero), head=head)
    yield from _own_families(found.judges, head)
    if found.ratings:
        lines = [Line(one.criterion, one.alpha) for one in found.ratings]
        note = "Krippendorff's alpha, ordinal, of the ratings on each criterion."
        means = [
            [one.criterion, str(one.responses), ", ".join(f"{judge} {mean:.2f}" for judge, mean in one.means.items())]
            for one in found.ratings
        ]
        ratings = table(["criterion", "responses rated twice", "mean rating"], means)
        yield section("Ratings", note, forest(lines, least(lines), 1, 0, digits=3) + ratings, head=head)
    if found.models:
        yield from _models(found, head)
    yield section("Judges", "Shares of verdicts in %.", table(*_judges(found.judges)), head=head)


def _own_families(judges: Sequence[JudgeReport], head: str) -> Iterable[str]:
    rows, lines, against = [], [], ""
    for judge in judges:
        if (own := judge.own_family) is not None:
            against = "gold" if own.against == "gold" else "the other judges"
            shares = [f"{100 * share:.1f}" if share is not None else "–" for share in (own.own_share, own.their_share)]
            rows.append([judge.judge, own.family, str(own.couples), _percent(own.wins), str(own.compared), *shares])
            lines.append(Line(f"{judge.judge} ({own.family})", own.excess))
    if rows:
        names = ["judge", "family", "couples", "own wins", "compared", "its share", f"that of {against}"]
        note = "How much larger a share the responses of its own family get by the judge than by "
        note += f"{against}, on the same couples; dashed: no more."
        plot = forest(lines, -1, 1, 0) if any(line.found.value is not None for line in lines) else ""
        yield section("Preference for its own family", note, plot + table(names, rows), head=head)


def _models(found: Agreement, head: str) -> Iterable[str]:
    note = "Bradley-Terry strengths, ties included, in Elo points around 1000."
    lines = [Line(one.model, one.elo) for one in found.models]
    ends = [end for line in lines for end in (line.found.low, line.found.high) if end is not None]
    low, high = (100 * round(end / 100 + side) for end, side in ((min([*ends, 950]), -0.5), (max([*ends, 1050]), 0.5)))
    cells = [
        [one.model, str(one.votes), _percent(one.wins), _percent(one.ties), _percent(one.probability)]
        for one in found.models
    ]
    strengths = table(["model", "votes", "won", "tied", "mean probability"], cells)
    yield section("Models", note, forest(lines, low, high, 1000, digits=0) + strengths, head=head)
    if len(found.models) > 2:
        names = [one.model for one in found.models]
        duels = {one.models: one for one in found.duels}
        duels |= {one.models[::-1]: Duel(one.models[::-1], one.lost, one.tied, one.won) for one in found.duels}
        rows = [[_duel(duels.get((name, other))) for other in names] for name in names]
        note = "Share of the votes in % that the model of the row has against that of the column; a tie counts half."
        yield section("Model against model", note, matrix(names, rows), head=head)


def _duel(found: Duel | None) -> Cell:
    return Cell(None) if found is None else Cell(found.share, f"{found.won} won, {found.tied} tied, {found.lost} lost")


def _groups(found: Agreement) -> Iterable[str]:
    for by in ("source", "criterion"):
        groups = [group for group in found.groups if group.by == by]
        if not groups:
            continue
        lines = [Line(group.name, group.agreement.together.alpha_ordinal) for group in groups]
        several = any(line.found.value is not None for line in lines)
        note = "Krippendorff's alpha, ordinal; every table of each below." if several else "Every table of each."
        yield section(f"By {by}", note, forest(lines, least(lines), 1, 0, digits=3) if several else "")
        for group in groups:
            inner = "".join(sections(group.agreement, "h3"))
            yield f"<details><summary>{escape(group.name)}</summary>{inner}</details>"


def _judges(reports: Sequence[JudgeReport]) -> tuple[list[str], list[list[str]]]:
    head = ["judge", "judgments", "couples", "ties", "both bad", "abstained", "unreadable", "failed"]
    rows = []
    for one in reports:
        rates = (one.ties, one.both_bad, one.abstained, one.unreadable, one.failed)
        rows.append([one.judge, str(one.judgments), str(one.couples), *map(_percent, rates)])
    return head, rows


def _percent(found: Rate | Estimate) -> str:
    return "–" if found.value is None else f"{100 * found.value:.1f}"
