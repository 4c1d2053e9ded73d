"""The form of a plan as JSON: what its fingerprint is made of, and what pictures and readers without code are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestra_graph.graph.edges import label_of
from orchestra_graph.graph.plan import Cap, Plan, PlanNode, Shape
from orchestra_graph.graph.policies import EACH_ONE, GATHER, JoinRule
from orchestra_graph.graph.signature import type_name
from orchestra_graph.state.codec import JsonCodec
from orchestra_graph.state.schema import FieldSpec
from orchestra_graph.state.storable import unstorable

__all__ = ["rules_in", "shape_of_plan"]


def shape_of_plan(plan: Plan) -> Shape:
    """Write the form of a plan down."""
    topology = plan.topology
    shape: Shape = {
        "fields": {spec.name: _field(spec) for spec in plan.schema.fields.values()},
        "nodes": [_node(node) for node in plan.nodes],
        "edges": [{"from": e.source, "to": e.target, "kind": e.kind, "label": e.label} for e in plan.edges],
        "groups": [
            [{"kind": g.kind, "edges": list(g.edges), "choice": label_of(g.choice), "limit": g.limit} for g in n.groups]
            for n in plan.nodes
        ],
        "scopes": [_scope(s) for s in topology.scopes],
        "regions": [
            {"kind": r.kind, "head": r.head, "members": sorted(r.members), "parent": r.parent} for r in topology.regions
        ],
    }
    more: dict[str, Any] = {
        "rules": {str(v): _rule(rule) for v, rule in topology.rules.items()},
        "calls": [
            {"name": c.name, "enter": c.enter, "leave": c.leave, "members": sorted(c.members)} for c in plan.calls
        ],
        "races": [list(race) for race in plan.races],
        "caps": [_cap(cap) for cap in plan.caps],
        "channels": {channel: _channel(node) for channel, node in plan.channels.items()},
    }
    return {**shape, **{name: value for name, value in more.items() if value}}


def _field(spec: FieldSpec) -> dict[str, Any]:
    return {
        "type": type_name(spec.annotation),
        "reducer": spec.reducer.name if spec.reducer else None,
        "later": spec.later,
        "required": spec.required,
    }


def _node(node: PlanNode) -> dict[str, Any]:
    shaped: dict[str, Any] = {
        "name": node.name,
        "kind": node.kind,
        "reads": list(node.reads),
        "writes": list(node.writes.fields),
        "effect": node.options.effect,
        "turns": node.turns,
        "counts_turns": node.counts_turns,
        "optional": node.optional,
    }
    more = {"terminates": node.terminates, "channel": node.channel}
    return {**shaped, **{name: value for name, value in more.items() if value}}


def _channel(node: PlanNode) -> dict[str, Any]:
    """What a message looks like: for those who send one and have no code."""
    schema = None if unstorable(node.answer) else JsonCodec(node.name, node.answer).schema
    return {"type": type_name(node.answer), "schema": schema}


def _scope(scope: Any) -> dict[str, Any]:
    shaped = {"edge": scope.edge, "members": sorted(scope.members), "collector": scope.collector}
    return {**shaped, "call": True} if scope.call else shaped


def _rule(rule: JoinRule) -> dict[str, Any]:
    return {
        "kind": rule.kind,
        "count": rule.count,
        "cancel_rest": rule.cancel_rest,
        "short": rule.short,
        "predicate": label_of(rule.predicate),
    }


def _cap(cap: Cap) -> dict[str, Any]:
    return {
        "kind": cap.kind,
        "allowed": cap.allowed,
        "vertex": cap.vertex,
        "edge": cap.edge,
        "members": sorted(cap.members),
        "depth": cap.depth,
    }


def rules_in(shape: Mapping[str, Any]) -> dict[int, JoinRule]:
    """The join rules of a form, as far as a reader without code needs them."""
    found = {}
    for vertex, rule in shape.get("rules", {}).items():
        known = {"each_one": EACH_ONE, "gather": GATHER}.get(rule["kind"])
        found[int(vertex)] = known or JoinRule(**{**rule, "predicate": rule["predicate"] or None})
    return found
