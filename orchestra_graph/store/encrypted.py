"""A store whose values are encrypted before they reach the database: any other `Store`, with keys.

Rule 1. What a run works on is encrypted: the bodies of events, snapshots, large values, cached results and messages;
        what a person is asked, told and answers; the note of an outcome. How runs stand stays readable, so that all
        that the store itself has to decide can be decided without a key: see `docs/how-to/security.md`.
Rule 2. A value is bound to its place: the kind of value, the key of its run, its number in the log. In another place it
        cannot be opened, so nobody can swap two of them. The place of a run is its key, not its number: of a run that
        is about to be created only that is known.
Rule 3. Large values and cached results are found by a keyed hash. So whoever has no key cannot guess a value and look
        whether it is there; that two are the same can be seen. The names that stand in bodies stay the plain hashes:
        nobody reads those without a key.
Rule 4. Whoever asks for a value gets it as it was given, or an error. What is not encrypted is read (it is from before
        there were keys), unless the keys are strict.

Each value has a nonce of 96 random bits. By NIST SP 800-38D a key should not encrypt more than 2**32 values so.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestra_graph.core.record import RunStatus
from orchestra_graph.errors import MissingExtra, StoreBroken, StoreSealed
from orchestra_graph.store.base import (
    Append,
    CachedRow,
    LogRow,
    MessageRow,
    NewRun,
    QuestionRow,
    QuestionStatus,
    RunRow,
    Size,
    Snapshot,
    Store,
    Transaction,
)
from orchestra_graph.store.keys import Keys
from orchestra_graph.store.rules import named_in
from orchestra_graph.store.sealed import parts_of, sealed_text, with_names

__all__ = ["EncryptedStore"]

_NONCE = 12


class EncryptedStore:
    """A `Store` that keeps encrypted values in another one.

    Args:
        inner: Where they are kept. To be opened by this store only.
        keys: What they are encrypted with.

    Raises:
        MissingExtra: The package `cryptography` is not installed.
    """

    def __init__(self, inner: Store, keys: Keys):
        self.inner, self.url = inner, inner.url
        self._box = _Box(keys, inner.url)
        self._keys_of_runs: dict[int, str] = {}

    def __repr__(self) -> str:
        return f"<encrypted {self.inner!r}>"

    @property
    def lost(self) -> Callable[[Collection[int]], object] | None:
        """See `Store.lost`."""
        return self.inner.lost

    @lost.setter
    def lost(self, told: Callable[[Collection[int]], object] | None) -> None:
        self.inner.lost = told

    async def __aenter__(self) -> EncryptedStore:
        """Open the store inside."""
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        """Close the store inside."""
        await self.inner.__aexit__(*exc)

    # -- runs ----------------------------------------------------------------------------------------

    async def create(self, new: NewRun) -> tuple[RunRow, bool]:
        """See `Store.create`."""
        (first, *rows) = self._rows_in(new.key, [LogRow(0, new.kind, new.at, new.body), *new.rows])
        sealed = replace(
            new,
            body=first.body,
            rows=rows,
            asked=[self._question_in(new.key, question) for question in new.asked],
            blobs=self._blobs_in(new.blobs),
        )
        row, created = await self.inner.create(sealed)
        return self._run_out(row), created

    async def find(self, key: str) -> RunRow | None:
        """See `Store.find`."""
        row = await self.inner.find(key)
        return None if row is None else self._run_out(row)

    async def runs(
        self,
        *,
        status: Sequence[RunStatus] = (),
        graph: str | None = None,
        key: str | None = None,
        since: float | None = None,
        until: float | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> list[RunRow]:
        """See `Store.runs`."""
        found = await self.inner.runs(
            status=status, graph=graph, key=key, since=since, until=until, after=after, limit=limit
        )
        return [self._run_out(row) for row in found]

    async def due(self, graphs: Mapping[str, str], *, now: float, limit: int = 100) -> list[RunRow]:
        """See `Store.due`."""
        return [self._run_out(row) for row in await self.inner.due(graphs, now=now, limit=limit)]

    async def claim(self, run: int) -> RunRow:
        """See `Store.claim`."""
        return self._run_out(await self.inner.claim(run))

    async def shape(self, fingerprint: str) -> str | None:
        """See `Store.shape`. The form of a graph is not encrypted."""
        return await self.inner.shape(fingerprint)

    # -- the log -------------------------------------------------------------------------------------

    async def append(self, change: Append) -> None:
        """See `Store.append`."""
        # Whoever may append has claimed the run here or created it: so nothing is awaited, and the order is kept.
        key = self._keys_of_runs.get(change.run)
        if key is None:
            key = await self._key_of(change.run)
        snapshot = change.snapshot
        if snapshot is not None:
            snapshot = replace(snapshot, body=self._box.seal(snapshot.body, "snapshot", key, snapshot.seq))
        sealed = replace(
            change,
            rows=self._rows_in(key, change.rows),
            snapshot=snapshot,
            asked=[self._question_in(key, question) for question in change.asked],
            note=self._box.seal(change.note, "note", key) if change.note else "",
            blobs=self._blobs_in(change.blobs),
            cached=[self._cached_in(row, change.blobs) for row in change.cached],
        )
        await self.inner.append(sealed)

    async def snapshot(self, run: int) -> Snapshot | None:
        """See `Store.snapshot`."""
        found = await self.inner.snapshot(run)
        if found is None:
            return None
        key = await self._key_of(run)
        return replace(found, body=self._box.open(found.body, "snapshot", key, found.seq))

    async def log(self, run: int, *, after: int = -1, upto: int | None = None) -> list[LogRow]:
        """See `Store.log`."""
        return await self._rows_out(run, await self.inner.log(run, after=after, upto=upto))

    async def rows(self, run: int, seqs: Sequence[int]) -> list[LogRow]:
        """See `Store.rows`."""
        return await self._rows_out(run, await self.inner.rows(run, seqs))

    async def blobs(self, hashes: Iterable[str]) -> dict[str, str]:
        """See `Store.blobs`."""
        places = {name: plain for plain in hashes for name in self._box.names("blob", plain)}
        found: dict[str, str] = {}
        for name, text in (await self.inner.blobs(places)).items():
            plain = places[name]
            if plain not in found or name != plain:  # one that is encrypted goes before one that is not
                found[plain] = self._box.open(text, "blob", plain)
        return found

    async def cached(self, key: str, now: float) -> str | None:
        """See `Store.cached`."""
        for name in self._box.names("cached", key):
            body = await self.inner.cached(name, now)
            if body is not None:
                return self._box.open(body, "cached", key)
        return None

    # -- people --------------------------------------------------------------------------------------

    async def questions(
        self, run: int | None = None, *, status: Sequence[QuestionStatus] = ("open",)
    ) -> list[QuestionRow]:
        """See `Store.questions`."""
        return [self._question_out(row) for row in await self.inner.questions(run, status=status)]

    async def question(self, run: int, question: str) -> QuestionRow | None:
        """See `Store.question`."""
        row = await self.inner.question(run, question)
        return None if row is None else self._question_out(row)

    async def news(self, asked: Mapping[int, Collection[str]], *, now: float | None = None) -> list[QuestionRow]:
        """See `Store.news`."""
        return [self._question_out(row) for row in await self.inner.news(asked, now=now)]

    async def answer(self, run: int, question: str, answer: str, at: float) -> QuestionRow:
        """See `Store.answer`."""
        sealed = self._box.seal(answer, "answer", await self._key_of(run), question)
        return self._question_out(await self.inner.answer(run, question, sealed, at))

    async def send(self, message: MessageRow, *, alone: int | None = None) -> tuple[MessageRow, bool]:
        """See `Store.send`."""
        key = await self._key_of(message.run)
        sealed = self._box.seal(message.body, "message", key, message.id, message.channel)
        row, new = await self.inner.send(replace(message, body=sealed), alone=alone)
        return await self._message_out(row), new

    async def inbox(self, run: int | None = None, *, taken: bool = False) -> list[MessageRow]:
        """See `Store.inbox`."""
        return [await self._message_out(row) for row in await self.inner.inbox(run, taken=taken)]

    # -- all the rest --------------------------------------------------------------------------------

    async def begin(self, run: int, epoch: int) -> Transaction:
        """See `Store.begin`. What a node's own statements write is not encrypted."""
        return await self.inner.begin(run, epoch)

    async def prune(
        self, *, before: float, status: Collection[RunStatus], graph: str | None = None, limit: int = 100
    ) -> list[str]:
        """See `Store.prune`."""
        return await self.inner.prune(before=before, status=status, graph=graph, limit=limit)

    async def tidy(self, *, now: float, limit: int = 1000) -> int:
        """See `Store.tidy`."""
        return await self.inner.tidy(now=now, limit=limit)

    async def compact(self) -> None:
        """See `Store.compact`."""
        await self.inner.compact()

    async def sizes(self) -> dict[str, Size]:
        """See `Store.sizes`; of the values as they are kept."""
        return await self.inner.sizes()

    async def changes(self, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Store.changes`."""
        return await self.inner.changes(timeout)

    async def answers(self, timeout: float) -> bool:  # noqa: ASYNC109
        """See `Store.answers`."""
        return await self.inner.answers(timeout)

    # -- in and out ----------------------------------------------------------------------------------

    async def _key_of(self, run: int) -> str:
        """The key of a run by its number; empty where there is no such run."""
        known = self._keys_of_runs.get(run)
        if known is not None:
            return known
        found = await self.inner.runs(after=run + 1, limit=1)
        if found and found[0].number == run:
            self._keys_of_runs[run] = found[0].key
            return found[0].key
        return ""

    def _run_out(self, row: RunRow) -> RunRow:
        self._keys_of_runs[row.number] = row.key
        if not row.note:
            return row
        try:
            return replace(row, note=self._box.open(row.note, "note", row.key))
        except StoreSealed:  # the run can be listed all the same; whoever reads the note will meet it
            return row

    def _rows_in(self, key: str, rows: Iterable[LogRow]) -> list[LogRow]:
        return [replace(row, body=self._box.seal(row.body, *_event(key, row))) for row in rows]

    async def _rows_out(self, run: int, rows: Sequence[LogRow]) -> list[LogRow]:
        key = await self._key_of(run)
        return [replace(row, body=self._box.open(row.body, *_event(key, row))) for row in rows]

    def _blobs_in(self, blobs: Mapping[str, str]) -> dict[str, str]:
        return {self._box.name("blob", plain): self._box.seal(text, "blob", plain) for plain, text in blobs.items()}

    def _cached_in(self, row: CachedRow, blobs: Mapping[str, str]) -> CachedRow:
        # Its large values are written beside it. The store keeps them for as long as their names stand in its body.
        names = {self._box.name("blob", plain) for plain in named_in([row.body]) & blobs.keys()}
        body = with_names(self._box.seal(row.body, "cached", row.key), names)
        return replace(row, key=self._box.name("cached", row.key), body=body)

    def _question_in(self, key: str, row: QuestionRow) -> QuestionRow:
        made: dict[str, Any] = {part: self._box.seal(text, part, key, row.id) for part, text in _parts(row)}
        return replace(row, **made)

    def _question_out(self, row: QuestionRow) -> QuestionRow:
        found: dict[str, Any] = {part: self._box.open(text, part, row.key, row.id) for part, text in _parts(row)}
        return replace(row, **found)

    async def _message_out(self, row: MessageRow) -> MessageRow:
        """A message; one that was changed, or written with another key, has an empty body, which is no message.

        Anybody who knows the run can send one: whoever drives the run refuses it, and it must not keep the run from the
        next one.
        """
        key = await self._key_of(row.run)
        try:
            return replace(row, body=self._box.open(row.body, "message", key, row.id, row.channel))
        except StoreBroken:
            return replace(row, body="")


def _event(key: str, row: LogRow) -> tuple[str | int, ...]:
    """The place of a log row; its kind and its time are readable, and bound to it."""
    return "event", key, row.seq, row.kind, float(row.at).hex()


def _parts(row: QuestionRow) -> list[tuple[str, str]]:
    """What of a question is encrypted."""
    parts = [("prompt", row.prompt), ("details", row.details), ("schema", row.schema)]
    return parts if row.answer is None else [*parts, ("answer", row.answer)]


class _Box:
    """Puts values away and takes them out."""

    def __init__(self, keys: Keys, url: str):
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise MissingExtra("encrypted values", "crypto") from error
        self._keys, self._url, self._wrong = keys, url, InvalidTag
        self._ciphers = {key: AESGCM(_derived(keys, key, "values")) for key in keys.ids}
        self._naming = {key: _derived(keys, key, "names") for key in keys.ids}

    def seal(self, text: str, *place: str | int) -> str:
        """Encrypt a value for its place."""
        nonce = os.urandom(_NONCE)
        data = nonce + self._ciphers[self._keys.use].encrypt(nonce, text.encode(), _bound(place))
        return sealed_text(self._keys.use, base64.b64encode(data).decode())

    def open(self, text: str, *place: str | int) -> str:
        """The value in its place.

        Raises:
            StoreSealed: Its key is not at hand.
            StoreBroken: It was changed, or moved; or it is not encrypted, and must be.
        """
        parts = parts_of(text)
        if parts is None:
            if self._keys.strict:
                raise StoreBroken(self._url, f"{_said(place)} is not encrypted, and these keys are strict")
            return text
        key, written = parts
        cipher = self._ciphers.get(key)
        if cipher is None:
            raise StoreSealed(self._url, _said(place), key)
        try:
            data = base64.b64decode(written, validate=True)
            return cipher.decrypt(data[:_NONCE], data[_NONCE:], _bound(place)).decode()
        except (self._wrong, binascii.Error, ValueError):
            raise StoreBroken(
                self._url,
                f"{_said(place)} cannot be decrypted: it was changed, or put there from another place, "
                f"or '{key}' is another key than the one that it was written with",
            ) from None

    def name(self, kind: str, plain: str) -> str:
        """What a value is found by that is known as *plain*."""
        return self._named(self._keys.use, kind, plain)

    def names(self, kind: str, plain: str) -> list[str]:
        """What it may be found by, the likeliest first."""
        found = [self._named(key, kind, plain) for key in self._keys.ids]
        return found if self._keys.strict else [*found, plain]

    def _named(self, key: str, kind: str, plain: str) -> str:
        return hmac.new(self._naming[key], f"{kind} {plain}".encode(), hashlib.sha256).hexdigest()


def _derived(keys: Keys, key: str, purpose: str) -> bytes:
    found = keys.derived(key, purpose)
    assert found is not None
    return found


def _bound(place: Sequence[str | int]) -> bytes:
    """What a value is bound to; a list in JSON, so that no two places read the same."""
    return json.dumps(place).encode()


def _said(place: Sequence[str | int]) -> str:
    """A place for messages."""
    kind, *more = place
    if kind in ("blob", "cached"):
        return {"blob": "a large value", "cached": "a cached result"}[str(kind)]
    run = f"run '{str(more[0])[:80]}', "
    if kind == "event":
        return f"{run}log row {more[1]} ({str(more[2])[:40]})"
    if kind == "message":
        return f"{run}message '{str(more[1])[:80]}'"
    return f"{run}its {kind}" if len(more) == 1 or kind == "snapshot" else f"{run}the {kind} of '{str(more[1])[:80]}'"
