"""Rules on models: what a rule is, and what comes of asking a set of them about every operator.

A rule is a function whose docstring is the sentence that the user reads. It takes an operator (Site), or the
whole model (Model), and returns (holds, evidence).
"""

from __future__ import annotations

import inspect as introspection
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from tflite_edge.flatbuffer import cost, reader
from tflite_edge.flatbuffer.facts import Facts
from tflite_edge.flatbuffer.facts import inspect as facts_of
from tflite_edge.flatbuffer.graph import Graph, Operator, Tensor, graphs
from tflite_edge.records.verdict import Finding


@dataclass(frozen=True)
class Model:
    """What rules look at: the facts, and the subgraphs with every index followed."""

    facts: Facts
    graphs: tuple[Graph, ...]


@dataclass(frozen=True)
class Site:
    """One operator and the model it stands in."""

    operator: Operator
    graph: Graph
    model: Model

    @property
    def computed(self) -> tuple[Tensor, ...]:
        """Its activations: inputs that are not constants, and outputs."""
        return (*(t for t in self.operator.inputs if not t.constant), *self.operator.outputs)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.operator.inputs, *self.operator.outputs)

    @property
    def at_the_edge(self) -> bool:
        """It only changes how the model's inputs or outputs are written down."""
        fed = {tensor.index for tensor in (*self.graph.inputs, *self.graph.outputs)}
        changes = self.operator.name in ("QUANTIZE", "DEQUANTIZE")
        return changes and any(tensor.index in fed for tensor in self.computed)


Answer = tuple[bool, str]
Rule = Callable[[Site], Answer]
ModelRule = Callable[[Model], Answer]


@dataclass(frozen=True)
class RuleSet:
    """What a piece of hardware or a library takes.

    unit: what operators are mapped to. operators: name -> rules of that operator alone. every: rules of every
    operator. whole: rules of the model. edits: rule -> the edit that would make it hold. cuts: the first operator
    that is not mapped leaves everything after it to the CPU. custom: what to do about a custom operator. elsewhere:
    where operators run that are not mapped; "" when nothing can run them, so that the model does not start. source:
    where the rules are from.
    """

    unit: str
    about: str
    source: str
    operators: Mapping[str, Sequence[Rule]]
    every: Sequence[Rule] = ()
    whole: Sequence[ModelRule] = ()
    edits: Mapping[str, str] = field(default_factory=dict)
    replace: Mapping[str, str] = field(default_factory=dict)
    cuts: bool = False
    custom: str = ""
    elsewhere: str = "CPU"


# Optional instead of `| None`: records.plain.from_plain reads these back and knows only that.


@dataclass(frozen=True)
class Row:
    """Where one operator runs and why. index: in its subgraph. rule: the sentence that does not hold, "" when mapped.
    edge: see Site."""

    index: int
    name: str
    version: int
    tensor: str
    mapped: bool
    macs: Optional[int]  # noqa: UP045
    rule: str = ""
    evidence: str = ""
    do: str = ""
    edge: bool = False
    subgraph: int = 0

    @property
    def place(self) -> str:
        return f"{self.index} of subgraph {self.subgraph}" if self.subgraph else str(self.index)


@dataclass(frozen=True)
class Placement:
    """All operators of the first subgraph, or of all where a single one without a kernel keeps the model from starting.

    cut: place in rows of the first that cuts the graph, None when nothing does. macs_share: of all
    multiply-accumulates, those that are mapped; None where there are none. scope: what was looked at; "": all of it.
    """

    target: str
    unit: str
    elsewhere: str
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    cut: Optional[int]  # noqa: UP045
    macs_share: Optional[float]  # noqa: UP045
    scope: str = ""


def look(source: str | bytes) -> Model:
    """Read a model for the rules. Raises ModelError when it is not a sound one."""
    return Model(facts_of(source), graphs(reader.read(source)))


def sentence(rule: Rule | ModelRule) -> str:
    """The docstring as one line."""
    return " ".join((introspection.getdoc(rule) or "").split())


def apply(target: str, rules: RuleSet, model: Model) -> Placement:
    """Ask every rule about every operator: of the first subgraph, which is what a delegate is offered, or of all, where
    the bodies of loops and other signatures need their kernels as well for the model to start."""
    looked = model.graphs[:1] if rules.elsewhere else model.graphs
    rows = [_row(rules, Site(operator, graph, model)) for graph in looked for operator in graph.operators]
    cut = next((place for place, row in enumerate(rows) if not row.mapped and not row.edge), None)
    if rules.cuts and cut is not None:
        rows = [_behind(row, rows[cut]) if row.mapped and row.index > cut else row for row in rows]
    total = sum(row.macs or 0 for row in rows)
    mapped = sum(row.macs or 0 for row in rows if row.mapped)
    whole = [(rule, rule(model)) for rule in rules.whole]
    findings = [_finding(rules, rule, evidence) for rule, (holds, evidence) in whole if not holds]
    if cut is not None:
        findings.insert(0, _cutting(rules, rows, cut))
    share = mapped / total if total else None
    scope = "" if len(looked) == len(model.graphs) else _first(model)
    return Placement(target, rules.unit, rules.elsewhere, tuple(rows), tuple(findings), cut, share, scope)


def _first(model: Model) -> str:
    named = [f"signature {one.key!r}" for one in model.facts.signatures if one.subgraph == 0]
    return f"the first of {len(model.graphs)} subgraphs" + (f", {', '.join(named)}" if named else "")


def _row(rules: RuleSet, site: Site) -> Row:
    operator = site.operator
    output = operator.outputs[0].name if operator.outputs else ""
    row: dict[str, Any] = {
        "index": operator.index,
        "name": operator.name,
        "version": operator.version,
        "tensor": output[:80],
        "subgraph": site.graph.index,
    }
    macs = cost.macs(operator)
    if operator.custom or operator.name not in rules.operators:
        do = rules.replace.get(operator.name, "use layers whose operators are mapped (docs/rules.md), or move it last")
        said = f"The {rules.unit} has no {operator.name}."
        if operator.custom and rules.custom:
            said, do = f"{operator.name[:80]} is a custom operator, not a builtin of the {rules.unit}.", rules.custom
        return Row(**row, mapped=False, macs=macs, rule=said, do=do, edge=site.at_the_edge)
    for rule in (*rules.every, *rules.operators[operator.name]):
        holds, evidence = rule(site)
        if not holds:
            do = rules.edits.get(rule.__name__, "")
            return Row(
                **row, mapped=False, macs=macs, rule=sentence(rule), evidence=evidence, do=do, edge=site.at_the_edge
            )
    return Row(**row, mapped=True, macs=macs)


def _behind(row: Row, first: Row) -> Row:
    rule = f"It comes after #{first.place} {first.name}, which cuts the graph."
    return Row(row.index, row.name, row.version, row.tensor, False, row.macs, rule, edge=row.edge)


def _finding(rules: RuleSet, rule: ModelRule, evidence: str) -> Finding:
    return Finding(sentence(rule), evidence, rules.edits.get(rule.__name__, ""))


def _cutting(rules: RuleSet, rows: Sequence[Row], cut: int) -> Finding:
    first, missed = rows[cut], sum(not row.mapped for row in rows)
    what = f"#{first.place} {first.name} does not run on the {rules.unit}"
    if not rules.elsewhere:
        what += f", and without it the model does not start; {missed} of {len(rows)} operators have no kernel"
    elif rules.cuts:
        what += f", and cuts the graph: {missed} of {len(rows)} operators run on the CPU"
    else:
        what += f"; {missed} of {len(rows)} operators run on the CPU"
    evidence = "\n".join(filter(None, [first.rule, first.evidence]))
    return Finding(what, evidence, first.do, fatal=not rules.elsewhere)
