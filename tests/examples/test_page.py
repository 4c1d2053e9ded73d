"""The support desk declares what the page of the design declares: `page.txt` is that page, up to its `main`."""

import ast
from pathlib import Path

import pytest
import support_desk

HERE = Path(__file__).parent


def declarations(source: str) -> dict[str, str]:
    """What a module declares, as code without layout, comments and docstrings."""
    found: dict[str, str] = {}
    for statement in ast.parse(source).body:
        match statement:
            case ast.ClassDef(name=name):
                found[name] = declared_class(statement)
            case (
                ast.FunctionDef(name=name, decorator_list=[_, *_])
                | ast.AsyncFunctionDef(name=name, decorator_list=[_, *_])
            ):
                found[name] = signature(statement)
            case ast.Assign(targets=[ast.Name(id="support")]) | ast.Expr(value=ast.Call()):
                if "support" in (line := ast.unparse(statement)):
                    found[line] = line
    return found


def declared_class(statement: ast.ClassDef) -> str:
    """Its bases, fields and methods, in order."""
    lines = [f"class {statement.name}({', '.join(ast.unparse(b) for b in (*statement.bases, *statement.keywords))})"]
    for part in statement.body:
        if isinstance(part, ast.AnnAssign):
            lines.append(ast.unparse(part))
        elif isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            lines.append(signature(part))
    return "\n".join(lines)


def signature(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Its decorators, kind, parameters and return type."""
    decorators = "".join(f"@{ast.unparse(d)}\n" for d in function.decorator_list)
    kind = "async def" if isinstance(function, ast.AsyncFunctionDef) else "def"
    returns = ast.unparse(function.returns) if function.returns else ""
    return f"{decorators}{kind} {function.name}({ast.unparse(function.args)}) -> {returns}"


def bodies(source: str) -> dict[str, str]:
    """The bodies of the nodes that have one."""
    functions = [f for f in ast.parse(source).body if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = {f.name: "\n".join(ast.unparse(line) for line in f.body) for f in functions if f.decorator_list}
    return {name: body for name, body in found.items() if body != "..."}


def imported(source: str) -> set[str]:
    """What is imported from the library."""
    froms = [s for s in ast.parse(source).body if isinstance(s, ast.ImportFrom) and s.module == "orchestra_graph"]
    return {name.name for statement in froms for name in statement.names}


@pytest.fixture(name="page")
def page_of_the_design() -> str:
    return (HERE / "page.txt").read_text("utf-8")


@pytest.fixture(name="example")
def source_of_the_example() -> str:
    return Path(support_desk.__file__).read_text("utf-8")


def test_the_example_declares_the_page(page: str, example: str) -> None:
    expected, found = declarations(page), declarations(example)
    assert len(expected) == 18
    assert [name for name in found if name in expected] == list(expected), "all of them, in this order"
    assert {name: found[name] for name in expected} == expected
    assert [name for name in found if "support." in name and name not in expected] == [], "and no edge besides"


def test_where_the_page_has_a_body_it_is_the_example_s(page: str, example: str) -> None:
    expected = bodies(page)
    assert expected.keys() == {"approve", "refund"}
    assert {name: bodies(example)[name] for name in expected} == expected


def test_the_page_imports_what_the_example_imports(page: str, example: str) -> None:
    assert imported(page) <= imported(example)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ('@node(writes="facts")\nasync def check_policy', '@node(writes="reply")\nasync def check_policy'),
        ("def check_stock(order: Order)", "def check_stock(order: object)"),
        ("kind: Literal", "sort: Literal"),
        ("support.edge(refund, draft)\n", ""),
    ],
)
def test_a_change_of_the_example_would_be_seen(page: str, example: str, was: str, becomes: str) -> None:
    assert was in example
    found = declarations(example.replace(was, becomes))
    assert {name: found.get(name) for name in declarations(page)} != declarations(page)
