"""Licence review: read the licence of every installed package, ask a person about the doubtful ones, publish a report.

    python examples/licence_review.py [FOLDER]

Starts the review in FOLDER (here, if none is given), or goes on with it: after a crash, a `kill -9`, or an answer.
Everything is real: the packages are those of the Python that runs this, and so are their licences.
"""

import asyncio
import importlib.metadata
import logging
import os
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel

from orchestra_graph import END, Context, Engine, Graph, Item, Question, State, append, ask, later, node, reducer

Verdict = Literal["permissive", "copyleft", "unknown"]
Ruling = Literal["permissive", "copyleft"]  # a person decides: there is no third word


class Finding(BaseModel, frozen=True):
    """What is known about the licence of one package."""

    package: str
    version: str
    licence: str  # as the package writes it
    verdict: Verdict
    why: str  # where that was read, or what is doubtful about it


@reducer
def update(known: dict[str, Ruling], given: dict[str, Ruling]) -> dict[str, Ruling]:
    """Fold a new answer into the earlier ones; of two rulings on one package the later one stands."""
    return known | given


class Review(State):
    """First what is given at the start, then what the nodes find out, in that order."""

    folder: Path = Path()
    packages: list[str] = later()
    findings: Annotated[list[Finding], append] = []  # each reading adds one; in the order of `packages`, always
    rulings: Annotated[dict[str, Ruling], update] = {}  # each answer adds some
    open: list[str] = later()
    report: str = later()
    allowed: bool = later()


# -- the flow ---------------------------------------------------------------------------------------------


@node(writes="packages")
def list_packages(ctx: Context) -> list[str]:
    names = {re.sub(r"[-_.]+", "-", found.name).lower() for found in importlib.metadata.distributions() if found.name}
    ctx.log.info("listed %d packages", len(names))
    return sorted(names)


@node(writes="findings")
def read_licence(package: Item[str], ctx: Context) -> Finding:
    finding = judge(package, importlib.metadata.distribution(package))
    ctx.log.info("read %s: %s", package, finding.verdict)
    return finding


@node(writes="open")
def sort_out(findings: list[Finding], rulings: dict[str, Ruling], ctx: Context) -> list[str]:
    doubtful = [f.package for f in findings if f.verdict == "unknown" and f.package not in rulings]
    ctx.log.info("left open: %d", len(doubtful))
    return doubtful


@ask(writes="rulings")
def rule(findings: list[Finding], open: list[str]) -> Question[dict[str, Ruling]]:
    doubts = {f.package: f"{f.licence or 'says nothing'} ({f.why})" for f in findings if f.package in open}
    return Question(f"Permissive or copyleft: {', '.join(doubts)}? Rule on one or more.", to="legal", details=doubts)


@node(writes="report")
def write_report(findings: list[Finding], rulings: dict[str, Ruling], folder: Path, ctx: Context) -> str:
    report = as_markdown(findings, rulings)
    write_whole(folder / "licences.md", report)
    ctx.log.info("wrote the report")
    return report


@ask(writes="allowed")
def allow(findings: list[Finding], folder: Path) -> Question[bool]:
    return Question("Publish the report?", details={"packages": len(findings), "report": str(folder / "licences.md")})


@node(effect="irreversible")
def publish(report: str, folder: Path, ctx: Context) -> None:
    write_whole(folder / "published" / "licences.md", report)  # the text that was allowed, whatever the file says now
    ctx.log.info("published the report")


review = Graph(Review, name="licence-review", version="1")
review.start(list_packages)
review.each(list_packages, "packages", read_licence, collect=sort_out, limit=8)
review.edge(sort_out, rule, when="open")
review.edge(sort_out, write_report, otherwise=True)
review.edge(rule, sort_out)  # a loop: one answer need not rule on everything
review.limit(rule, turns=10)
review.edge(write_report, allow)
review.switch(allow, "allowed", {True: publish, False: END})


# -- reading a licence ------------------------------------------------------------------------------------

NAMES: dict[Ruling, str] = {
    "copyleft": r"\b[AL]?GPL|\b(?:MPL|EPL|EUPL|CDDL)\b|(?:General|Mozilla|Eclipse) Public License",
    "permissive": r"\b(?:MIT|0?BSD|Apache|ISC|PSF|Python|Zlib|Unlicense|HPND|CC0|BSL|NCSA|ZPL|CNRI)\b|Public Domain",
}
TEXTS: dict[Ruling, str] = {  # what a licence says of itself; that it mentions another one means nothing
    "copyleft": r"GENERAL PUBLIC LICENSE Version \d|(?:Mozilla|Eclipse) Public License,?(?: -)? (?:v|Version)\b",
    "permissive": r"(?i)permission is hereby granted, free of charge|redistribution and use in source and binary forms"
    r"|apache license,? version 2|python software foundation license version",
}
KINDS: list[Verdict] = ["permissive", "copyleft", "unknown"]  # from what asks little of us to what we cannot tell


def judge(package: str, found: importlib.metadata.Distribution) -> Finding:
    """Hold what a package declares against the licence texts that it carries."""
    licence, source = declared(found)
    verdict, why = amounts_to(licence), source
    carried: dict[str, Verdict] = {name: sort(text, TEXTS) for name, text in licence_texts(found)}
    foreign = [name for name, kind in carried.items() if kind == "copyleft"]
    if verdict == "permissive" and foreign:
        verdict, why = "unknown", f"but it carries a copyleft text, {foreign[0]}"
    elif verdict == "unknown" and carried:
        verdict, why = worst(carried.values()), f"the text of {next(iter(carried))}"
    return Finding(package=package, version=found.version, licence=licence, verdict=verdict, why=why)


def declared(found: importlib.metadata.Distribution) -> tuple[str, str]:
    """What the metadata says, and where: the expression counts more than the free text, that more than classifiers."""
    for key in ("License-Expression", "License"):
        for value in found.metadata.get_all(key) or ():
            if 0 < len(value) < 100 and value != "UNKNOWN":  # some put the whole text there
                return value, key
    named = [c.split(" :: ")[-1] for c in found.metadata.get_all("Classifier") or () if " OSI Approved :: " in c]
    return " AND ".join(named), "Classifier" if named else "nothing is declared"


def amounts_to(expression: str) -> Verdict:
    """`A AND B` binds to both; of `A OR B` anybody may choose the better."""
    while inner := re.search(r"\(([^()]* (?:AND|OR) [^()]*)\)", expression):
        expression = expression.replace(inner[0], amounts_to(inner[1]))
    ways: list[list[Verdict]] = [[sort(name, NAMES) for name in way.split(" AND ")] for way in expression.split(" OR ")]
    kinds: list[Verdict] = [worst(way) for way in ways]
    return next(kind for kind in KINDS if kind in kinds)


def worst(kinds: Collection[Verdict]) -> Verdict:
    """The one that asks the most of us."""
    return next(kind for kind in reversed(KINDS) if kind in kinds)


def sort(text: str, signs: dict[Ruling, str]) -> Verdict:
    """The kind of which there are signs; unknown where there are none, or signs of both."""
    kinds: list[Ruling] = [kind for kind, pattern in signs.items() if text == kind or re.search(pattern, text)]
    return kinds[0] if len(kinds) == 1 else "unknown"


def licence_texts(found: importlib.metadata.Distribution) -> list[tuple[str, str]]:
    """The licence files in a package's metadata folder, on one line each: (name, text)."""
    files = [f for f in found.files or () if ".dist-info/" in str(f) and re.match(r"(?i)licen[cs]e|copying", f.name)]
    paths = [(f.as_posix().partition("/")[2], Path(str(found.locate_file(f)))) for f in files]
    return [(name, " ".join(path.read_text("utf-8", "replace").split())) for name, path in paths if path.is_file()]


# -- writing the report -----------------------------------------------------------------------------------


def as_markdown(findings: list[Finding], rulings: dict[str, Ruling]) -> str:
    """The report; of the same findings and rulings always the same."""
    rows = {kind: [f for f in findings if rulings.get(f.package, f.verdict) == kind] for kind in KINDS}
    lines = ["# Licences", "", ", ".join(f"{len(rows[kind])} {kind}" for kind in KINDS if rows[kind]) + "."]
    for kind in (kind for kind in KINDS if rows[kind]):
        lines += ["", f"## {kind.capitalize()}", "", "| package | version | licence | read from |", "|---|---|---|---|"]
        for f in rows[kind]:
            why = f"{f.why}: ruled by a person" if f.package in rulings else f.why
            lines.append(f"| {f.package} | {f.version} | {f.licence.replace('|', '/')} | {why} |")
    return "\n".join(lines) + "\n"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, "utf-8")
    draft.replace(path)


# -- running it -------------------------------------------------------------------------------------------


async def main(folder: Path) -> None:
    """Start the review, or go on with it: the same key again gives the same run."""
    async with Engine(f"sqlite:///{folder}/licences.db", graphs=[review]) as engine:
        run = await engine.start(review, Review(folder=folder), key="licences")
        print(await run.wait())


if __name__ == "__main__":
    where = Path(*sys.argv[1:2]).resolve()
    where.mkdir(parents=True, exist_ok=True)
    work = logging.FileHandler(
        where / "work.log"
    )  # a line for each node that did its work, with the process that did it
    work.setFormatter(logging.Formatter("%(process)d %(activation)s %(message)s"))
    logging.getLogger("orchestra_graph.node").addHandler(work)
    logging.getLogger("orchestra_graph.node").setLevel(logging.INFO)
    asyncio.run(main(where))
