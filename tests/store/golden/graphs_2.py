"""The graphs whose runs are in the second golden database: large values, cached results, a graph in a graph."""

from __future__ import annotations

from orchestra_graph import Cache, Graph, Question, State, ask, later, node
from tests.store.golden.graphs import may_die

LARGE = "".join(f"line {number}\n" for number in range(4000))


class Papers(State):
    text: str
    upper: str = later()
    words: int = later()
    agreed: bool = later()


class Counted(State):
    text: str
    words: int = later()


@node(writes="upper", cache=Cache())
async def shout(text: str) -> str:
    return text.upper()


@node(writes="words")
async def count_words(text: str) -> int:
    may_die("count_words")
    return len(text.split())


@ask(writes="agreed")
def agree(words: int) -> Question[bool]:
    return Question(f"Keep {words} words?")


counter = Graph(Counted, name="counter", version="1")
counter.start(count_words)

papers = Graph(Papers, name="papers", version="1")
papers.start(shout)
papers.edge(shout, counter)
papers.edge(counter, agree)
