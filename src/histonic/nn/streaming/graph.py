"""A module as a graph of layers that can be streamed (sequential, residual, dense), found by tracing."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from histonic.core.errors import NetworkError
from histonic.nn.streaming.layers import (
    SAME,
    CannotStream,
    Cellwise,
    Rule,
    Windows,
    joining,
    merging,
    padding,
    pooling,
    rule_of,
)
from histonic.nn.streaming.windows import Span, hull

ARITHMETIC = {
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.neg,
    operator.iadd,
    operator.isub,
    operator.imul,
    torch.add,
    torch.sub,
    torch.mul,
    torch.div,
    torch.neg,
    torch.maximum,
    torch.minimum,
}
FUNCTIONS = {
    F.relu,
    F.relu6,
    F.leaky_relu,
    F.elu,
    F.selu,
    F.celu,
    F.gelu,
    F.silu,
    F.mish,
    F.softplus,
    F.softsign,
    F.hardtanh,
    F.hardswish,
    F.hardsigmoid,
    F.sigmoid,
    F.tanh,
    torch.relu,
    torch.sigmoid,
    torch.tanh,
    torch.abs,
    torch.exp,
    torch.log1p,
    torch.sqrt,
    torch.square,
    torch.clamp,
}
METHODS = {
    *("add", "sub", "mul", "div", "neg", "relu", "sigmoid", "tanh", "abs", "exp", "log1p", "sqrt"),
    *("square", "clamp", "clamp_min", "clamp_max", "float", "double", "contiguous"),
    *("add_", "sub_", "mul_", "div_", "relu_", "clamp_"),
}
JOINING = {torch.cat, torch.concat}
KNOWN = "Build it of modules such as nn.Conv2d; derive what looks at one position at a time from Cellwise."


@dataclass(frozen=True)
class Layer:
    """One step of a graph.

    Attributes:
        name: As in the network.
        below: Numbers of the layers that it looks at; empty for an input of the network.
        rule: How it is streamed; None for an input.
    """

    name: str
    below: tuple[int, ...]
    rule: Rule | None

    @property
    def windows(self) -> Windows:
        """What it looks at, along rows and columns."""
        if self.rule is None:
            raise AttributeError(f"{self.name} is an input")
        return self.rule.windows


@dataclass(frozen=True)
class Graph:
    """Layers in the order in which they are computed; the inputs first, the last one is the result.

    Attributes:
        layers: All of them.
        inputs: How many there are of those.
        users: Per layer, the numbers of those that look at it.
    """

    layers: tuple[Layer, ...]
    inputs: int
    users: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, module: nn.Module, inputs: int = 1) -> Graph:
        """The graph of a module that takes so many maps and gives one.

        Raises:
            NetworkError: A layer cannot be streamed, or the module cannot be traced; the layer is named.
        """
        tracer = _Tracer()
        if tracer.is_leaf_module(module, ""):
            module = nn.Sequential(module)
        try:
            traced = tracer.trace(module)
        except Exception as error:
            raise NetworkError(
                f"Stream {type(module).__name__}.",
                f"Its layers cannot be told apart: {str(error).splitlines()[0] if str(error) else error!r}.",
                "Let its forward not depend on the values or sizes of its maps (no 'if' over them).",
            ) from error
        return _Reader(module, inputs).read(traced)

    def sizes(self, shapes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Rows and columns of each layer's map, from those of the inputs.

        Raises:
            NetworkError: Maps of different sizes meet, or nothing is left of a map.
        """
        found: list[tuple[int, int]] = []
        for number, layer in enumerate(self.layers):
            if number < self.inputs:
                found.append(shapes[number])
                continue
            given = {found[below] for below in layer.below}
            if len(given) > 1:
                raise NetworkError(
                    f"Stream the layer {layer.name!r}.",
                    f"Maps of {' and '.join(f'{r} x {c}' for r, c in sorted(given))} meet in it.",
                    "Let all of them have the same rows and columns.",
                )
            size = next(iter(given))
            rows, cols = (window.outputs(side) for window, side in zip(layer.windows, size, strict=True))
            if min(rows, cols) < 1:
                raise NetworkError(
                    f"Stream the layer {layer.name!r}.",
                    f"It gets a map of {size[0]} x {size[1]}, on which its window does not fit once.",
                    "Give a larger image, or leave out layers with a stride.",
                )
            found.append((rows, cols))
        return found

    def needed(self, span: Span, sizes: Sequence[int], axis: int) -> list[Span]:
        """Per layer, the positions along an axis that some positions of the result depend on.

        Args:
            span: Of the result.
            sizes: Of each layer's map along that axis.
            axis: 0 for rows, 1 for columns.
        """
        found = [Span(0, 0)] * len(self.layers)
        found[-1] = span.within(sizes[-1])
        for number in range(len(self.layers) - 2, -1, -1):
            found[number] = hull(
                self.layers[user].windows[axis].needs(found[user]).nearest(sizes[number])
                for user in self.users[number]
            )
        return found


def receptive_field(module: nn.Module, span: Span, size: int, *, axis: int = 0) -> Span:
    """The positions of the input on which some positions of the result depend, exact, borders included.

    Args:
        module: Takes one map.
        span: Positions of the result along the axis.
        size: Of the input along it; the other axis is taken to be as long.
        axis: 0 for rows, 1 for columns.

    Raises:
        NetworkError: A layer cannot be streamed; it is named.

    Example:
        >>> pair = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.Conv2d(1, 1, 3, padding=1))
        >>> receptive_field(pair, Span(2, 3), 20), receptive_field(pair, Span(0, 1), 20)
        (Span(start=1, stop=8), Span(start=0, stop=4))
    """
    graph = Graph.of(module)
    sides = [each[axis] for each in graph.sizes([(size, size)])]
    return graph.needed(span, sides, axis)[0]


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Cellwise) or super().is_leaf_module(m, module_qualified_name)


class _Reader:
    """Turns the nodes of a trace into layers."""

    def __init__(self, module: nn.Module, inputs: int) -> None:
        self.module = module
        self.inputs = inputs
        self.layers: list[Layer] = []
        self.numbers: dict[fx.Node, int] = {}
        self.constants: dict[fx.Node, str] = {}

    def read(self, traced: fx.Graph) -> Graph:
        result: Any = None
        # Inputs first: they are numbered in their order, wherever a trace has them.
        for node in sorted(traced.nodes, key=lambda node: node.op != "placeholder"):
            if node.op == "placeholder":
                self._add(node, Layer(node.name, (), None))
            elif node.op == "get_attr":
                self.constants[node] = str(node.target)
            elif node.op == "output":
                result = node.args[0]
            else:
                self._step(node)
        self._require_one_map(result)
        last = self.numbers[result]
        is_last = self.inputs <= last == len(self.layers) - 1
        if not is_last:  # what is computed for nothing, or an input handed through
            self.layers.append(Layer("result", (last,), SAME))
        users: list[list[int]] = [[] for _ in self.layers]
        for number, layer in enumerate(self.layers):
            for below in dict.fromkeys(layer.below):
                users[below].append(number)
        self._require_own(users)
        return Graph(tuple(self.layers), self.inputs, tuple(tuple(each) for each in users))

    def _require_one_map(self, result: Any) -> None:
        found = sum(layer.rule is None for layer in self.layers)
        if found != self.inputs or not isinstance(result, fx.Node) or result not in self.numbers:
            raise NetworkError(
                f"Stream {type(self.module).__name__}.",
                f"It takes {found} map(s), and gives {'one' if isinstance(result, fx.Node) else 'several'}.",
                f"Give a module that takes {self.inputs} and gives one.",
            )

    def _require_own(self, users: Sequence[Sequence[int]]) -> None:
        """No layer may overwrite a map that another looks at, too."""
        for layer in self.layers:
            if layer.rule is not None and layer.rule.in_place and len(users[layer.below[0]]) > 1:
                raise NetworkError(
                    f"Stream the layer {layer.name!r}.",
                    "It overwrites a map that other layers look at, too.",
                    "Build it with inplace=False.",
                )

    def _add(self, node: fx.Node, layer: Layer) -> None:
        self.numbers[node] = len(self.layers)
        self.layers.append(layer)

    def _step(self, node: fx.Node) -> None:
        name = str(node.target) if node.op == "call_module" else _place_of(node)
        try:
            if node.op == "call_module":
                rule = rule_of(self.module.get_submodule(str(node.target)))
                if len(node.args) != 1 or node.kwargs or node.args[0] not in self.numbers:
                    raise CannotStream("It takes more than one map.", KNOWN)
                layer = Layer(name, (self.numbers[node.args[0]],), rule)  # type: ignore[index]
            else:
                layer = self._call(node, name)
        except CannotStream as refused:
            raise NetworkError(
                f"Stream the layer {name!r} of {type(self.module).__name__}.", refused.found, refused.todo
            ) from refused
        if layer.rule is SAME:
            # A layer of its own would have its rows kept and handed on beside those of the map itself.
            self.numbers[node] = layer.below[0]
        else:
            self._add(node, layer)

    def _call(self, node: fx.Node, name: str) -> Layer:
        target: Any = node.target
        args, kwargs = node.args, dict(node.kwargs)
        if target in JOINING:
            maps = args[0] if args else kwargs["tensors"]
            if (args[1] if len(args) > 1 else kwargs.get("dim", 0)) not in (1, -3):
                raise CannotStream("It joins maps along another axis than channels.", "Join along dim=1.")
            if not isinstance(maps, list | tuple):
                raise CannotStream("It is not told which maps it joins.", KNOWN)
            return Layer(name, self._maps(maps), joining())
        if target in (F.max_pool2d, F.avg_pool2d, F.pad):
            return Layer(name, self._maps(args[:1]), _functional(target, args[1:], kwargs))
        if target is F.dropout or target is F.dropout2d:
            if kwargs.get("training", args[2] if len(args) > 2 else True):
                raise CannotStream("It draws at random.", "Put dropout behind the layers that are streamed.")
            return Layer(name, self._maps(args[:1]), SAME)
        known = target in METHODS if node.op == "call_method" else target in ARITHMETIC | FUNCTIONS
        if not known:
            raise CannotStream(
                f"It is not known what {getattr(target, '__name__', target)!r} looks at.", KNOWN
            )
        return self._elementwise(node, name)

    def _elementwise(self, node: fx.Node, name: str) -> Layer:
        """A function of single numbers, of one or more maps, and of weights that are the same everywhere."""
        maps = [arg for arg in node.args if isinstance(arg, fx.Node) and arg in self.numbers]
        for arg in (*node.args, *node.kwargs.values()):
            if isinstance(arg, fx.Node) and arg not in self.numbers:
                self._require_everywhere(arg)
            elif isinstance(arg, list | tuple | dict):
                raise CannotStream("It takes more than maps and numbers.", KNOWN)
        kwargs = {key: value for key, value in node.kwargs.items() if key != "inplace"}
        if any(isinstance(value, fx.Node) for value in kwargs.values()):
            raise CannotStream("It takes a map by a keyword.", "Give maps by their places.")
        target: Any = node.target
        function: Callable[..., Tensor]
        if node.op == "call_method":
            # A method that overwrites has a sister that does not.
            method = str(target).removesuffix("_")
            function = lambda first, *others, **named: getattr(first, method)(*others, **named)  # noqa: E731
        else:
            swapped = {operator.iadd: operator.add, operator.isub: operator.sub, operator.imul: operator.mul}
            function = swapped.get(target, target)
        overwrites = target in (operator.iadd, operator.isub, operator.imul) or str(target).endswith("_")
        places = [maps.index(arg) if arg in maps else None for arg in node.args]  # type: ignore[arg-type]
        given_args = node.args

        def compute(given: Sequence[Tensor]) -> Tensor:
            values = [
                given[place] if place is not None else self._value(arg)
                for place, arg in zip(places, given_args, strict=True)
            ]
            return function(*values, **kwargs)

        rule = merging(compute)
        if overwrites or bool(node.kwargs.get("inplace", False)):
            # Computed into a new map; that nobody else sees the old one is still required.
            self._require_alone(node)
        return Layer(name, self._maps(maps), rule)

    def _require_alone(self, node: fx.Node) -> None:
        first = node.args[0]
        if isinstance(first, fx.Node) and len(first.users) > 1:
            raise CannotStream(
                "It overwrites a map that other layers look at, too.", "Write it as a new map: y = x + z."
            )

    def _value(self, arg: Any) -> Any:
        if isinstance(arg, fx.Node):
            return operator.attrgetter(self.constants[arg])(self.module)
        return arg

    def _require_everywhere(self, node: fx.Node) -> None:
        if node not in self.constants:
            raise CannotStream("It takes something that is no map.", KNOWN)
        value = operator.attrgetter(self.constants[node])(self.module)
        if not isinstance(value, Tensor) or math.prod(value.shape[-2:]) != 1 or value.ndim > 4:
            raise CannotStream(
                f"Its weight {self.constants[node]!r} differs from place to place.",
                "Give it the shape (C, 1, 1).",
            )

    def _maps(self, given: Sequence[Any]) -> tuple[int, ...]:
        if not given or any(not isinstance(each, fx.Node) or each not in self.numbers for each in given):
            raise CannotStream("It takes something that is no map.", KNOWN)
        return tuple(self.numbers[each] for each in given)


def _functional(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Rule:
    """The rule of pooling or padding that is called as a function."""
    if any(isinstance(each, fx.Node) for each in (*args, *kwargs.values())):
        raise CannotStream("Its size depends on that of a map.", "Give numbers.")
    if target is F.pad:
        told = dict(zip(("pad", "mode", "value"), args, strict=False)) | kwargs
        if told.get("mode", "constant") != "constant" or len(told["pad"]) > 4:
            raise CannotStream(
                "It fills more than rows and columns with a constant.", "Use constant padding."
            )
        left, right, above, below = (*told["pad"], 0, 0)[:4]
        return padding((above, below), (left, right), float(told.get("value") or 0.0))
    largest = target is F.max_pool2d
    names = (
        ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
        if largest
        else ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    )
    told = dict(zip(names, args, strict=False)) | kwargs
    if told.pop("return_indices", False):
        raise CannotStream("It also gives the places of its maxima.", "Let it give maxima alone.")
    return pooling("max" if largest else "mean", **told)


def _place_of(node: fx.Node) -> str:
    """Where a function stands: the module whose forward calls it, and its name."""
    stack = node.meta.get("nn_module_stack") or {}
    modules = [str(value[0] if isinstance(value, tuple) else value) for value in stack.values()]
    return f"{modules[-1]}.{node.name}" if modules and modules[-1] else node.name
