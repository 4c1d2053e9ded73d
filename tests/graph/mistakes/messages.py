"""Messages from outside."""

from typing import Annotated, Any

from pydantic import SecretStr

from orchestra_graph import END, Graph, State, append, ask, node, receive
from orchestra_graph.graph.question import Question
from orchestra_graph.state.schema import later
from tests.graph.mistakes.corpus import mistake


class Chat(State):
    said: Annotated[list[str], append] = []
    text: str = later()
    reply: str | None = None
    over: bool = False
    allowed: bool = later()


@node(writes="reply")
def answer(text: str) -> str:
    return text


@mistake("interrupt-place", "'user' interrupts, but it is not the first node of a loop", "graph.start(user)")
def an_interrupt_that_is_not_where_turns_begin() -> Graph[Any]:
    hear = receive("user", str, writes="text", interrupts=True)  # here

    @node
    def greet() -> None: ...

    graph = Graph(Chat, name="chat")
    graph.start(greet)
    graph.edge(greet, hear)
    graph.edge(hear, answer)
    graph.edge(answer, greet, when=lambda over: not over)
    graph.edge(answer, END, otherwise=True)
    return graph


@mistake("interrupt-place", "'user' interrupts, but it is not the first node of a loop", "graph.race(work, user)")
def an_interrupt_without_a_loop() -> Graph[Any]:
    hear = receive("user", str, writes="text", interrupts=True)  # here
    graph = Graph(Chat, name="chat")
    graph.start(hear)
    graph.edge(hear, answer)
    return graph


@mistake("interrupt-place", "'inner/user' interrupts, but it is not the first node of a loop", "graph.race(work,")
def an_interrupt_in_an_inner_graph() -> Graph[Any]:
    hear = receive("user", str, writes="text", interrupts=True)  # here
    inner = Graph(Chat, name="inner")
    inner.start(hear)
    inner.edge(hear, answer)
    inner.edge(answer, hear, when=lambda over: not over)
    inner.edge(answer, END, otherwise=True)
    graph = Graph(Chat, name="chat")
    graph.start(inner)
    return graph


@mistake("channel-types", "channel 'user': 'user' takes a str from it, and 'again' a int", "str | int")
def two_types_on_one_channel() -> Graph[Any]:
    hear = receive("user", str, writes="text")
    again = receive("user", int, name="again")  # here
    graph = Graph(Chat, name="chat")
    graph.start(hear)
    graph.chain(hear, again)
    return graph


@mistake("unstorable-message", "'user' takes messages that cannot be stored", 'receive("user", str, ...)')
def a_message_that_is_no_data() -> Graph[Any]:
    hear = receive("user", SecretStr)  # here
    graph = Graph(Chat, name="chat")
    graph.start(hear)
    return graph


@mistake("unknown-field", "it writes 'txt', which is no field of Chat. Did you mean 'text'?", "Chat has: said")
def a_message_to_no_field() -> Graph[Any]:
    hear = receive("user", str, writes="txt")  # here
    graph = Graph(Chat, name="chat")
    graph.start(hear)
    return graph


@mistake("irreversible-withdrawn", "'pay' is irreversible, and a message to 'user' that interrupts may", "idempotent")
def irreversible_work_that_a_message_interrupts() -> Graph[Any]:
    hear = receive("user", str, writes="text", interrupts=True)

    @ask(writes="allowed")
    def allow(text: str) -> Question[bool]:
        return Question(text)

    @node(effect="irreversible")  # here
    def pay(text: str, allowed: bool) -> None: ...

    graph = Graph(Chat, name="chat")
    graph.start(hear)
    graph.chain(hear, allow, pay)
    graph.edge(pay, hear, when=lambda over: not over)
    graph.edge(pay, END, otherwise=True)
    return graph


@mistake("wrong-type-read", "'tell' reads reply: str, but 'reset' writes reply: None on the way", "reply: str | None")
def what_an_interrupted_turn_had_not_written_yet() -> Graph[Any]:
    """Without the interrupt, `answer` would come before `hear` in every turn."""
    hear = receive("user", str, writes="text", interrupts=True)

    @node(writes="reply")
    def reset() -> None:
        return None

    @node(writes="text")  # here
    def tell(reply: str) -> str:
        return reply

    @node(writes="reply")
    def greet() -> str:
        return "hello"

    graph = Graph(Chat, name="chat")
    graph.start(greet)
    graph.chain(greet, hear, tell, reset, answer)
    graph.edge(answer, hear, when=lambda over: not over)
    graph.edge(answer, END, otherwise=True)
    return graph
