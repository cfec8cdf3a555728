"""Go's text/template, as much of it as `--format` is used with.

Fields and keys (`.Config.Env`), methods with arguments (`.Label "k"`), variables, pipelines, `if`, `with`,
`range`, `break`, `continue`, trim marks and comments, text/template's own functions and those that Docker adds.
A template is read into nested tuples once (`parse`), then run for each value (`render`).
The grammar: https://pkg.go.dev/text/template.
"""

from typing import Any

from bascule.cli import gofuncs
from bascule.cli.gofuncs import TemplateError, shown, true

BLANK = " \t\r\n"
WORDS = ("if", "else", "end", "range", "with", "break", "continue")
COMMENT = ["/*"]
Node = tuple[Any, ...]


def parse(text: str) -> list[Node]:
    """The template as nodes.  Raises TemplateError."""
    pieces = _pieces(text)
    nodes, last = _block(pieces)
    if last:
        raise TemplateError(f"unexpected {{{{{last[0]}}}}}")
    return nodes


def _pieces(text: str) -> list[tuple[str, Any]]:
    """Text and actions in turn, trimmed; the last piece first, so that they can be popped."""
    pieces: list[tuple[str, Any]] = []
    trim = False
    while text:
        before, opened, text = text.partition("{{")
        if trim:
            before = before.lstrip(BLANK)
        if opened and text.startswith("-") and text[1:2] in (*BLANK, ""):
            before, text = before.rstrip(BLANK), text[1:]
        if before:
            pieces.append(("text", before))
        if not opened:
            break
        tokens, text, trim = _tokens(text)
        if tokens != COMMENT:
            pieces.append(("action", tokens))
    return pieces[::-1]


def _tokens(text: str) -> tuple[list[str], str, bool]:
    """An action's tokens, the text after its `}}`, and whether that is to be trimmed."""
    if text.lstrip(BLANK).startswith("/*"):
        _, closed, text = text.partition("*/")
        trim = text.startswith(" -}}")
        rest = text[4:] if trim else text[2:]
        if not closed:
            raise TemplateError("unclosed comment")
        return COMMENT, rest, trim
    tokens: list[str] = []
    at = 0
    while at < len(text):
        if text.startswith("}}", at):
            return tokens, text[at + 2 :], False
        if text.startswith("-}}", at) and (at == 0 or text[at - 1] in BLANK):
            return tokens, text[at + 3 :], True
        if text[at] in BLANK:
            at += 1
            continue
        end = _token_end(text, at)
        # A parenthesis or variable right after a field belongs to it: `(index .A 0).B`.
        tokens.append(("~" if at and text[at] == "." and text[at - 1] == ")" else "") + text[at:end])
        at = end
    raise TemplateError("unclosed action")


def _token_end(text: str, at: int) -> int:
    char = text[at]
    if char in "\"`'":
        end = at + 1
        while end < len(text) and text[end] != char:
            end += 2 if text[end] == "\\" and char != "`" else 1
        if end >= len(text):
            raise TemplateError("unterminated quoted string")
        return end + 1
    if text.startswith(":=", at):
        return at + 2
    if char in "()|,=":
        return at + 1
    end = at + 1
    while end < len(text) and text[end] not in BLANK + '()|,="`' and text[end : end + 2] not in ("}}", ":="):
        end += 1
    return end


def _block(pieces: list[tuple[str, Any]]) -> tuple[list[Node], list[str]]:
    """Nodes up to the action that ends this block, and that action's tokens, none at the end of the text."""
    nodes: list[Node] = []
    while pieces:
        kind, what = pieces.pop()
        if kind == "text":
            nodes.append(("text", what))
        elif not what:
            raise TemplateError("missing value for command")
        elif what[0] in ("else", "end"):
            return nodes, what
        elif what[0] in ("if", "with", "range"):
            nodes.append(_branch(what, pieces))
        elif what[0] in ("break", "continue"):
            nodes.append((what[0],))
        else:
            nodes.append(("print", *_pipeline(what)))
    return nodes, []


def _branch(tokens: list[str], pieces: list[tuple[str, Any]]) -> Node:
    word = tokens[0]
    names, op, pipe = _pipeline(tokens[1:])
    then, last = _block(pieces)
    otherwise: list[Node] = []
    if last[:1] == ["else"] and last[1:2] in (["if"], ["with"]):
        return (word, names, op, pipe, then, [_branch(last[1:], pieces)])
    if last == ["else"]:
        otherwise, last = _block(pieces)
    if last != ["end"]:
        raise TemplateError("unexpected EOF")
    return (word, names, op, pipe, then, otherwise)


def _pipeline(tokens: list[str]) -> tuple[list[str], str, list[list[Any]]]:
    """`$x := a b | c` as the variables' names, the operator, and the commands as lists of operands."""
    names, op = [], ""
    for at, token in enumerate(tokens):
        if token in (":=", "="):
            names, op = [t for t in tokens[:at] if t != ","], token
            tokens = tokens[at + 1 :]
            break
    if not tokens:
        raise TemplateError("missing value for command")
    rest = tokens[::-1]
    pipe = _commands(rest)
    if rest:
        raise TemplateError("unexpected right paren")
    return names, op, pipe


def _commands(rest: list[str]) -> list[list[Any]]:
    commands: list[list[Any]] = [[]]
    while rest and rest[-1] != ")":
        token = rest.pop()
        if token == "|":
            commands.append([])
        elif token == "(":
            inner = _commands(rest)
            if not rest:
                raise TemplateError("unclosed left paren")
            rest.pop()
            tail = rest.pop()[2:].split(".") if rest and rest[-1].startswith("~") else []
            commands[-1].append(("pipe", inner, tail))
        else:
            commands[-1].append(_operand(token))
    if not all(commands):
        raise TemplateError("missing value for command")
    return commands


def _operand(token: str) -> Node:
    if token[0] in "\"`'":
        return ("literal", gofuncs.unquote(token))
    if token[0] == "$":
        name, *path = token.split(".")
        return ("variable", name, path)
    if token[0] == ".":
        return ("field", [name for name in token.split(".") if name])
    if token in ("true", "false", "nil"):
        return ("literal", {"true": True, "false": False, "nil": None}[token])
    if token[0].isdigit() or (token[0] in "+-" and token[1:2].isdigit()):
        try:
            return ("literal", float(token) if "." in token else int(token, 0))
        except ValueError:
            raise TemplateError(f"bad number syntax: {token!r}") from None
    if token in gofuncs.FUNCTIONS:
        return ("function", token)
    raise TemplateError(f'template parsing error: template: :1: function "{token}" not defined')


class _Leave(Exception):
    """`break` or `continue`, with what had been written."""

    def __init__(self, word: str) -> None:
        self.word = word


class Run:
    """One run of a template over a value."""

    def __init__(self, root: Any, functions: dict[str, Any] | None = None) -> None:
        self.scopes: list[dict[str, Any]] = [{"$": root}]
        self.functions = {**gofuncs.FUNCTIONS, **(functions or {})}
        self.out: list[str] = []

    def nodes(self, nodes: list[Node], dot: Any) -> None:
        for node in nodes:
            match node:
                case ("text", text):
                    self.out.append(text)
                case ("print", names, op, pipe):
                    value = self.value(pipe, dot)
                    if names:
                        self._assign(names[-1], op, value)
                    else:
                        self.out.append(shown(value, top=True))
                case ("range", names, op, pipe, then, otherwise):
                    self._range(names, self.value(pipe, dot), then, otherwise, dot)
                case (("if" | "with") as word, names, op, pipe, then, otherwise):
                    value = self.value(pipe, dot)
                    scope = {names[-1]: value} if names else {}
                    if true(value):
                        self._within(scope, then, value if word == "with" else dot)
                    else:
                        self._within(scope, otherwise, dot)
                case (word,):
                    raise _Leave(word)

    def _within(self, scope: dict[str, Any], nodes: list[Node], dot: Any) -> None:
        self.scopes.append(scope)
        try:
            self.nodes(nodes, dot)
        finally:
            self.scopes.pop()

    def _assign(self, name: str, op: str, value: Any) -> None:
        scope = self.scopes[-1] if op == ":=" else next((s for s in self.scopes[::-1] if name in s), None)
        if scope is None:
            raise TemplateError(f"undefined variable {name!r}")
        scope[name] = value

    def _range(self, names: list[str], value: Any, then: list[Node], otherwise: list[Node], dot: Any) -> None:
        items = gofuncs.items(value)
        for key, item in items:
            scope = dict(zip(names, (key, item) if len(names) == 2 else (item,), strict=False))
            try:
                self._within(scope, then, item)
            except _Leave as leave:
                if leave.word == "break":
                    break
        if not items:
            self._within({}, otherwise, dot)

    def value(self, pipe: list[list[Any]], dot: Any) -> Any:
        carried: list[Any] = []
        for first, *operands in pipe:
            args = [self.operand(o, dot) for o in operands] + carried
            match first:
                case ("function", name):
                    carried = [gofuncs.call(name, self.functions[name], args)]
                case ("field", path):
                    carried = [gofuncs.walk(dot, path, args)]
                case ("variable", name, path):
                    carried = [gofuncs.walk(self._variable(name), path, args)]
                case _:
                    if args:
                        raise TemplateError("can't give argument to non-function")
                    carried = [self.operand(first, dot)]
        return carried[0]

    def operand(self, node: Node, dot: Any) -> Any:
        match node:
            case ("literal", value):
                return value
            case ("field", path):
                return gofuncs.walk(dot, path, [])
            case ("variable", name, path):
                return gofuncs.walk(self._variable(name), path, [])
            case ("function", name):
                return gofuncs.call(name, self.functions[name], [])
            case ("pipe", pipe, tail):
                return gofuncs.walk(self.value(pipe, dot), tail, [])
        raise TemplateError(f"unexpected {node!r}")

    def _variable(self, name: str) -> Any:
        for scope in self.scopes[::-1]:
            if name in scope:
                return scope[name]
        raise TemplateError(f"undefined variable {name!r}")


def render(nodes: list[Node], value: Any, functions: dict[str, Any] | None = None) -> str:
    """What the template says of *value*.  *functions* replace those of the same name.  Raises TemplateError."""
    run = Run(value, functions)
    run.nodes(nodes, value)
    return "".join(run.out)
