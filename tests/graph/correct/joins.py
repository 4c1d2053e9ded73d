"""Every rule of a join, and races."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from orchestra_graph import (
    END,
    Graph,
    Item,
    Question,
    State,
    all_of,
    append,
    ask,
    batches,
    each_one,
    first,
    last,
    node,
    until,
    zipped,
)
from orchestra_graph.state.schema import later
from tests.graph.correct.corpus import program


class Search(State):
    query: str
    quick: str = later()
    deep: str = later()
    answer: str = later()
    hits: Annotated[list[str], append] = []
    sites: list[str] = ["a", "b", "c"]
    newest: Annotated[str, last] = ""
    enough: bool = False
    allowed: bool = later()
    decision: Literal["paid", "late"] = later()
    report: str = ""
    more: bool = False


@node(writes="quick")
def look_quickly(query: str) -> str:
    return query


@node(writes="deep")
async def look_deeply(query: str) -> str:
    return query


@node(writes="report")
def compare(quick: str, deep: str) -> str:
    return quick + deep


@node(writes="answer")
def ask_cache(query: str) -> str:
    return query


@node(writes="answer")
async def ask_model(query: str) -> str:
    return query


@node(writes="report")
def tell(answer: str) -> str:
    return answer


@node(writes="hits")
def search(site: Item[str]) -> str:
    return site


@node(writes="report")
def sum_up(hits: list[str]) -> str:
    return ", ".join(hits)


@node
def begin(query: str) -> None: ...


@node(writes="hits")
def note(query: str) -> str:
    return query


@program
def all_of_two_branches() -> Graph[Any]:
    graph = Graph(Search, name="all")
    graph.start([look_quickly, look_deeply])
    graph.edge([look_quickly, look_deeply], compare)
    graph.join(compare, all_of())
    return graph


@program
def all_of_in_a_loop_of_its_own_head() -> Graph[Any]:
    graph = Graph(Search, name="again")
    graph.start(begin)
    graph.edge(begin, [look_quickly, look_deeply])
    graph.edge([look_quickly, look_deeply], compare)
    graph.join(compare, all_of())
    graph.edge(compare, begin, when="more")
    return graph


@program
def the_first_of_two_that_write_one_field() -> Graph[Any]:
    graph = Graph(Search, name="first")
    graph.start([ask_cache, ask_model])
    graph.edge([ask_cache, ask_model], tell)
    graph.join(tell, first(cancel_rest=True))
    return graph


@program
def a_quorum_of_the_elements_of_an_each() -> Graph[Any]:
    graph = Graph(Search, name="quorum")
    graph.start(begin)
    graph.each(begin, "sites", search, collect=sum_up)
    graph.join(sum_up, first(2, short="fire"))
    return graph


@program
def until_enough_has_come() -> Graph[Any]:
    def three(hits: list[str]) -> bool:
        return len(hits) >= 2

    graph = Graph(Search, name="until")
    graph.start(begin)
    graph.each(begin, "sites", search, collect=sum_up)
    graph.join(sum_up, until(three, cancel_rest=True))
    return graph


@program
def until_a_field_is_set() -> Graph[Any]:
    graph = Graph(Search, name="set")
    graph.start([begin, note])
    graph.edge([begin, note], sum_up)
    graph.join(sum_up, until("hits"))
    return graph


@program
def each_one_side_by_side() -> Graph[Any]:
    graph = Graph(Search, name="apart")
    graph.start([look_quickly, look_deeply])
    graph.edge([look_quickly, look_deeply], note)
    graph.join(note, each_one())
    return graph


@program
def the_elements_of_two_eaches_zipped() -> Graph[Any]:
    @node(writes="hits")
    def left(site: Item[str]) -> str:
        return site

    @node(writes="hits")
    def right(site: Item[str]) -> str:
        return site

    @node(writes="newest")
    def pair(hits: list[str]) -> str:
        return hits[-1]

    @node
    def other(query: str) -> None: ...

    graph = Graph(Search, name="zip")
    graph.start([begin, other])
    graph.each(begin, "sites", left, collect=pair, empty=END)
    graph.each(other, "sites", right, collect=pair, empty=END)
    graph.join(pair, zipped())
    return graph


@program
def two_elements_at_a_time() -> Graph[Any]:
    @node(writes="newest")
    def store(hits: list[str]) -> str:
        return hits[-1]

    graph = Graph(Search, name="batches")
    graph.start(begin)
    graph.each(begin, "sites", search, collect=store)
    graph.join(store, batches(2))
    return graph


@program
def an_irreversible_node_behind_all_of_with_a_person_on_one_side() -> Graph[Any]:
    @ask(writes="allowed")
    def approve(query: str) -> Question[bool]:
        return Question(query)

    @node(effect="irreversible")
    def publish(quick: str, allowed: bool) -> None: ...

    graph = Graph(Search, name="publish")
    graph.start([approve, look_quickly])
    graph.edge([approve, look_quickly], publish)
    graph.join(publish, all_of())
    return graph


# -- races -----------------------------------------------------------------------------------------------


@ask(writes="allowed")
def wait_for_a_person(query: str) -> Question[bool]:
    return Question(query, expires_in=timedelta(days=1))


@node
async def wait_a_day(query: str) -> None: ...


@node(writes="decision")
def pay(allowed: bool) -> Literal["paid"]:
    return "paid"


@node(writes="decision")
def give_up(query: str) -> Literal["late"]:
    return "late"


@program
def a_deadline_on_a_person() -> Graph[Any]:
    graph = Graph(Search, name="deadline")
    graph.start([wait_for_a_person, wait_a_day])
    graph.race(wait_for_a_person, wait_a_day)
    graph.edge(wait_for_a_person, pay)
    graph.edge(wait_a_day, give_up)
    return graph


@program
def rivals_that_write_one_field_and_work_beside_them() -> Graph[Any]:
    @node(writes="report")
    def both(answer: str, quick: str) -> str:
        return answer + quick

    graph = Graph(Search, name="rivals")
    graph.start([ask_cache, ask_model, look_quickly])
    graph.race(ask_cache, ask_model)
    graph.edge([ask_cache, ask_model, look_quickly], both)
    return graph


@program
def a_race_in_every_turn_of_a_loop() -> Graph[Any]:
    @node(writes="more")
    def enough(answer: str) -> bool:
        return False

    graph = Graph(Search, name="turns")
    graph.start(begin)
    graph.edge(begin, [ask_cache, ask_model])
    graph.race(ask_cache, ask_model)
    graph.edge([ask_cache, ask_model], enough)
    graph.switch(enough, "more", {True: begin, False: tell})
    return graph


@program
def a_race_for_every_element() -> Graph[Any]:
    @node
    def open_site(site: Item[str]) -> None: ...

    @node(writes="hits")
    def fast(site: Item[str]) -> str:
        return site

    @node(writes="hits")
    async def slow(site: Item[str]) -> str:
        return site

    graph = Graph(Search, name="sites")
    graph.start(begin)
    graph.each(begin, "sites", open_site, collect=sum_up)
    graph.edge(open_site, [fast, slow])
    graph.race(fast, slow)
    graph.edge([fast, slow], sum_up)
    return graph


@program
def work_beside_a_race_that_ends_by_itself() -> Graph[Any]:
    graph = Graph(Search, name="beside")
    graph.start([ask_cache, ask_model, note])
    graph.race(ask_cache, ask_model)
    graph.edge([ask_cache, ask_model], tell)
    return graph


@program
def hands_that_pass_one_token_round() -> Graph[Any]:
    @node(writes="more")
    def ann(query: str) -> bool:
        return False

    @node(writes="more")
    def ben(query: str, more: bool) -> bool:
        return False

    graph = Graph(Search, name="hands")
    graph.start(ann)
    graph.switch(ann, "more", {True: ben, False: note})
    graph.switch(ben, "more", {True: ann, False: note})
    graph.join(ann, each_one())
    return graph


@program
def a_side_branch_of_every_turn() -> Graph[Any]:
    @node(writes="more")
    def again(query: str) -> bool:
        return False

    graph = Graph(Search, name="side")
    graph.start(begin)
    graph.edge(begin, [note, again])
    graph.edge(again, begin, when="more")
    return graph


@program
def a_loop_that_sends_out_work_for_one_join() -> Graph[Any]:
    @node(writes="more")
    def produce(query: str) -> bool:
        return False

    graph = Graph(Search, name="produce")
    graph.start(produce)
    graph.edge(produce, note)
    graph.switch(produce, "more", {True: produce, False: sum_up})
    graph.edge(note, sum_up)
    return graph
