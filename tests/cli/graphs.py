"""Files that a user might have: the graphs that the tests of the command line run."""

DESK = """
from typing import Annotated

from pydantic import BaseModel

from orchestra_graph import Graph, Question, State, append, ask, later, node


class Approval(BaseModel):
    granted: bool
    note: str = ""


class Ticket(State):
    text: str
    amount: int = 0
    seen: Annotated[list[str], append] = []
    approval: Approval = later()
    reply: str = ""


@node(writes="seen")
def look_up(text: str) -> str:
    print("look_up speaks")
    return text.upper()


@ask(writes="approval")
def approve(text: str, amount: int) -> Question[Approval]:
    return Question(f"Refund {amount} for {text}?", to="anna", details={"amount": amount})


@node(writes="reply")
def draft(approval: Approval) -> str:
    return "granted" if approval.granted else "refused"


desk = Graph(Ticket, name="desk")
desk.start(look_up)
desk.edge(look_up, approve)
desk.edge(approve, draft)
"""
"""One run asks one thing."""

RENAMED = DESK.replace("approve", "sign_off")
"""The same with another name for the node that asks."""

ENDINGS = """
from pathlib import Path

from orchestra_graph import END, Graph, Limits, Question, State, ask, node


class Count(State):
    n: int = 0
    name: str = ""
    size: int = 0


@node(writes="n")
async def one_more(n: int) -> int:
    return n + 1


@node(writes="n")
async def fail_once(n: int) -> int:
    if not Path("mended").exists():
        raise ValueError("the service is\\nnot there")
    return 7


@ask(writes="name")
def who() -> Question[str]:
    return Question("Who is it?")


@ask(writes="size")
def how_large() -> Question[int]:
    return Question("How large?")


done = Graph(Count, name="done")
done.start(one_more)

failing = Graph(Count, name="failing")
failing.start(fail_once)

looping = Graph(Count, name="looping", limits=Limits(steps=3))
looping.start(one_more)
looping.switch(one_more, lambda n: n < 1000, {True: one_more, False: END}, default=END)

asking = Graph(Count, name="asking")
asking.start([who, how_large])
"""
"""One graph for each way in which a run can rest."""

HANGING = """
import asyncio
from pathlib import Path

from orchestra_graph import Graph, State, node


class Count(State):
    n: int = 0


@node(writes="n")
async def first(n: int) -> int:
    with Path("first.log").open("a") as log:
        log.write("ran\\n")
    return 1


@node(writes="n")
async def hang(n: int) -> int:
    Path("started").touch()
    while not Path("go").exists():
        await asyncio.sleep(0.01)
    return n + 1


hanging = Graph(Count, name="hanging")
hanging.chain(first, hang)
hanging.start(first)
"""
"""A run that goes on when somebody says so."""

WRONG = """from orchestra_graph import Graph, State, node


class Ticket(State):
    text: str
    kind: str = ""


@node(writes="kind")
def classify(txt: str) -> str:
    return txt


@node(writes="kind")
def again(text: str) -> int:
    return len(text)


wrong = Graph(Ticket, name="wrong")
wrong.start(classify)
wrong.edge(classify, again)
"""
"""Two mistakes."""
