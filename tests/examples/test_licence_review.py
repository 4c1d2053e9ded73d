"""The licence review: what it reads in packages of every kind, and whole runs, with and without anything doubtful."""

from importlib import metadata
from pathlib import Path

import licence_review
import pytest
from licence_review import Review, Verdict, amounts_to, as_markdown, judge, review

from orchestra_graph import Done, Engine, OpenQuestion, RunStopped, Waiting, WrongAnswer

MIT = "Permission is hereby granted, free\n of charge, to any person"
MPL = "This file is subject to the terms of the Mozilla Public License, v. 2.0."
PSF = "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2\n material distributed under the GNU General Public License (GPL)"
OSI = "Classifier: License :: OSI Approved"


class Site:
    """A folder of installed packages."""

    def __init__(self, folder: Path):
        self.folder = folder

    def install(self, name: str, *headers: str, **texts: str) -> metadata.Distribution:
        """Install a package with these lines of metadata, and licence files."""
        info = self.folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *headers]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        for file, text in texts.items():
            (info / file).write_text(text)
        listed = ["METADATA", "RECORD", *texts, "LICENSE.gone"]
        (info / "RECORD").write_text("".join(f"{info.name}/{file},,\n" for file in listed))
        return metadata.Distribution.at(info)


@pytest.fixture(name="site")
def a_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The only packages that the example sees are those in this folder."""
    site = Site(tmp_path / "site")
    site.folder.mkdir()

    def found(name: str | None = None) -> list[metadata.Distribution]:
        return list(metadata.Distribution.discover(path=[str(site.folder)], name=name))

    monkeypatch.setattr(metadata, "distributions", found)
    monkeypatch.setattr(metadata, "distribution", lambda name: found(name)[0])
    return site


# -- reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [
        ("MIT", "permissive"),
        ("Apache-2.0 OR BSD-2-Clause", "permissive"),
        ("BSD 2-Clause License", "permissive"),
        ("MPL-2.0", "copyleft"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "copyleft"),
        ("GNU Lesser General Public License v3 (LGPLv3)", "copyleft"),
        ("GPL-2.0-or-later WITH GCC-exception-3.1", "copyleft"),
        ("MIT OR GPL-3.0-only", "permissive"),
        ("MIT AND LGPL-3.0-only", "copyleft"),
        ("MIT AND Acme-EULA", "unknown"),
        ("(MIT OR GPL-3.0-only) AND (BSD-3-Clause AND (ISC OR Acme-EULA))", "permissive"),
        ("MIT or GPL, as you like", "unknown"),
        ("Acme-EULA", "unknown"),
        ("", "unknown"),
    ],
)
def test_what_an_expression_amounts_to(expression: str, verdict: Verdict) -> None:
    assert amounts_to(expression) == verdict


@pytest.mark.parametrize(
    ("headers", "texts", "verdict", "why"),
    [
        (["License-Expression: MIT"], {}, "permissive", "License-Expression"),
        (["License: BSD"], {}, "permissive", "License"),
        (["License: UNKNOWN"], {}, "unknown", "nothing is declared"),
        (["License: " + "words " * 50, f"{OSI} :: MIT License"], {}, "permissive", "Classifier"),
        ([OSI], {}, "unknown", "nothing is declared"),
        ([], {"LICENSE": MIT}, "permissive", "the text of LICENSE"),
        ([], {"COPYING": MPL}, "copyleft", "the text of COPYING"),
        ([], {"LICENSE": MIT, "LICENSE.other": MPL}, "copyleft", "the text of LICENSE"),
        ([], {"LICENSE": "All rights reserved."}, "unknown", "the text of LICENSE"),
        (["License: MIT"], {"LICENSE.more": MPL}, "unknown", "but it carries a copyleft text, LICENSE.more"),
        (["License-Expression: PSF-2.0"], {"LICENSE": PSF}, "permissive", "License-Expression"),
        (["License-Expression: MPL-2.0"], {"LICENSE": MPL}, "copyleft", "License-Expression"),
    ],
)  # fmt: skip
def test_what_is_declared_is_held_against_the_texts(
    tmp_path: Path, headers: list[str], texts: dict[str, str], verdict: Verdict, why: str
) -> None:
    finding = judge("thing", Site(tmp_path).install("thing", *headers, **texts))
    assert (finding.verdict, finding.why, finding.version) == (verdict, why, "1.0")


def test_the_report_depends_on_findings_and_rulings_only(tmp_path: Path) -> None:
    site = Site(tmp_path)
    findings = [
        judge(name, site.install(name, f"License-Expression: {licence}"))
        for name, licence in {"a": "MIT", "b": "MPL-2.0", "c": "Acme | EULA"}.items()
    ]
    report = as_markdown(findings, {"c": "copyleft"})
    assert report == as_markdown(findings, {"c": "copyleft"})
    assert "1 permissive, 2 copyleft." in report
    assert "| c | 1.0 | Acme / EULA | License-Expression: ruled by a person |" in report


# -- whole runs ---------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_packages_that_are_really_installed(tmp_path: Path) -> None:
    async def say(question: OpenQuestion) -> object:
        return dict.fromkeys(question.details, "permissive") if "rule" in question.id else True

    state = await review.run(Review(folder=tmp_path), on_question=say)
    assert [f.package for f in state.findings] == state.packages, "in the order of the list, whichever was read first"
    assert {"pydantic", "sqlalchemy", "click"} <= {f.package for f in state.findings if f.verdict == "permissive"}
    assert (tmp_path / "licences.md").read_text("utf-8") == state.report
    assert (tmp_path / "published" / "licences.md").read_text("utf-8") == state.report
    assert all(f"| {package} |" in state.report for package in state.packages)


@pytest.mark.asyncio
async def test_where_nothing_is_doubtful_nobody_is_asked_to_rule(tmp_path: Path, site: Site) -> None:
    site.install("fine", "License-Expression: MIT")
    asked: list[str] = []

    def allow(question: OpenQuestion) -> bool:
        asked.append(question.prompt)
        return True

    state = await review.run(Review(folder=tmp_path), on_question=allow)
    assert asked == ["Publish the report?"]
    assert state.rulings == {}


@pytest.mark.asyncio
async def test_where_no_package_is_installed_the_report_is_empty(tmp_path: Path, site: Site) -> None:
    state = await review.run(Review(folder=tmp_path), on_question=lambda q: True)
    assert state.findings == []


@pytest.mark.asyncio
async def test_it_asks_until_none_is_open(tmp_path: Path, site: Site) -> None:
    for name in ("one", "two", "three"):
        site.install(name)
    async with Engine(graphs=[review]) as engine:
        run = await engine.start(review, Review(folder=tmp_path))
        for left in ({"one", "two", "three"}, {"one", "three"}, {"one"}):
            outcome = await run.wait()
            assert isinstance(outcome, Waiting)
            [question] = outcome.questions
            assert set(question.details) == left
            with pytest.raises(WrongAnswer):
                await run.answer(question.id, {"one": "unknown"})
            await run.answer(question.id, {sorted(left)[-1]: "copyleft"})
        outcome = await run.wait()
        assert isinstance(outcome, Waiting)
        assert outcome.state.rulings == dict.fromkeys(["one", "two", "three"], "copyleft")


@pytest.mark.asyncio
async def test_nothing_is_published_that_nobody_allowed(tmp_path: Path, site: Site) -> None:
    state = await review.run(Review(folder=tmp_path), on_question=lambda q: False)
    assert not state.allowed
    assert (tmp_path / "licences.md").is_file()
    assert not (tmp_path / "published").exists()


@pytest.mark.asyncio
async def test_what_was_allowed_is_published_whatever_the_file_says_by_then(tmp_path: Path, site: Site) -> None:
    def meddle(question: OpenQuestion) -> bool:
        (tmp_path / "licences.md").write_text("changed")
        return True

    state = await review.run(Review(folder=tmp_path), on_question=meddle)
    assert (tmp_path / "published" / "licences.md").read_text("utf-8") == state.report != "changed"


@pytest.mark.asyncio
async def test_who_never_rules_is_not_asked_for_ever(tmp_path: Path, site: Site) -> None:
    site.install("doubtful")
    asked: list[str] = []

    def shrug(question: OpenQuestion) -> dict[str, str]:
        asked.append(question.id)
        return {}

    with pytest.raises(RunStopped, match="'rule'"):
        await review.run(Review(folder=tmp_path), on_question=shrug)
    assert len(asked) == 10


@pytest.mark.asyncio
async def test_the_same_start_in_the_same_folder_is_the_same_run(
    tmp_path: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    await licence_review.main(tmp_path)
    await licence_review.main(tmp_path)
    assert capsys.readouterr().out.count("licences is waiting for allow") == 2
    async with Engine(f"sqlite:///{tmp_path}/licences.db", graphs=[review]) as engine:
        [run] = await engine.find()
        [question] = await run.questions()
        await run.answer(question.id, True)
        assert isinstance(await run.wait(), Done)
