"""What may be typed: the rules of Docker's option parser, and its messages."""

import pytest
from hypothesis import given as fuzz
from hypothesis import strategies as st

from bascule.cli.options import Given, Help, Parser, UsageError, split_csv, table

TABLE = """
    -d, --driver string=bridge   Which driver
    -f, --filter filter          Only some
        --internal               Keep to itself
        --ipv4 bool=true         Give addresses
    -i, --interactive            Keep open
    -l, --label list             Metadata
        --net list>label
    -o, --opt map                Options
        --subnet strings         Subnets
    -t, --tty                    A terminal
        --time int=-1            Seconds
"""


def parse(line: str, *, mixed: bool = True) -> Given:
    return Parser(table(TABLE)).parse(line.split(), mixed=mixed)


def refusal(line: str) -> str:
    with pytest.raises(UsageError) as refused:
        parse(line)
    return str(refused.value)


@pytest.mark.parametrize("line", ["--driver x", "--driver=x", "-d x", "-dx", "-d=x"])
def test_a_value_is_typed_in_five_ways(line: str) -> None:
    assert parse(line).text("driver") == "x"


def test_defaults_hold_until_something_is_typed() -> None:
    given = parse("")
    assert (given.text("driver"), given.flag("ipv4"), given.number("time"), given.list("label")) == (
        "bridge",
        True,
        -1,
        [],
    )
    assert given.typed == set()


def test_switches_can_be_typed_together_and_turned_off() -> None:
    given = parse("-it --ipv4=false --internal=1")
    assert [given.flag(n) for n in ("interactive", "tty", "ipv4", "internal")] == [True, True, False, True]
    assert given.typed == {"interactive", "tty", "ipv4", "internal"}


def test_a_switch_before_a_value_in_one_word() -> None:
    given = parse("-itd macvlan")
    assert (given.flag("tty"), given.text("driver")) == (True, "macvlan")


def test_lists_grow_and_comma_separated_ones_split() -> None:
    given = parse("-l a=b --label c,d --subnet 10.0.0.0/8,10.1.0.0/16 --subnet x")
    assert given.list("label") == ["a=b", "c,d"]
    assert given.list("subnet") == ["10.0.0.0/8", "10.1.0.0/16", "x"]


def test_a_map_keeps_the_last_value_of_a_key() -> None:
    assert parse("-o a=b --opt c -o a=d=e").map("opt") == {"a": "d=e", "c": ""}


def test_a_hidden_alias_stands_for_its_option() -> None:
    assert parse("--net x --label y").list("label") == ["x", "y"]


def test_options_and_arguments_may_be_mixed_or_not() -> None:
    assert parse("a --internal b -- --tty").args == ["a", "b", "--tty"]
    given = parse("-t image --internal -x", mixed=False)
    assert (given.args, given.flag("internal")) == (["image", "--internal", "-x"], False)


def test_a_single_dash_is_an_argument() -> None:
    assert parse("- a").args == ["-", "a"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--bogus", "unknown flag: --bogus"),
        ("-z", "unknown shorthand flag: 'z' in -z"),
        ("-iz", "unknown shorthand flag: 'z' in -iz"),
        ("--driver", "flag needs an argument: --driver"),
        ("-id", "flag needs an argument: 'd' in -id"),
        ("--=x", "bad flag syntax: --=x"),
        ("---x", "bad flag syntax: ---x"),
        (
            "--internal=zz",
            'invalid argument "zz" for "--internal" flag: strconv.ParseBool: parsing "zz": invalid syntax',
        ),
        ("--time x", 'invalid argument "x" for "--time" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        ("-f x", 'invalid argument "x" for "-f, --filter" flag: bad format of filter (expected name=value)'),
    ],
)
def test_a_wrong_word_is_refused_in_dockers_words(line: str, message: str) -> None:
    assert refusal(line) == message


@pytest.mark.parametrize("line", ["--help", "-h", "-ih", "a --help"])
def test_help_can_be_asked_for_anywhere(line: str) -> None:
    with pytest.raises(Help):
        parse(line)


def test_a_check_translates_the_value_and_says_why_not() -> None:
    def number(text: str) -> int:
        if not text.isdigit():
            raise ValueError("digits, please")
        return int(text)

    parser = Parser(table("    -m, --memory bytes   Memory"), {"memory": number})
    assert parser.parse(["-m", "5"]).each("memory") == 5
    with pytest.raises(UsageError, match='invalid argument "x" for "-m, --memory" flag: digits, please'):
        parser.parse(["-m", "x"])


def test_quotes_in_comma_separated_values() -> None:
    assert split_csv('a,"b,c","d""e",') == ["a", "b,c", 'd"e', ""]


@pytest.mark.parametrize("text", ['a"b', '"a'])
def test_unbalanced_quotes_are_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="parse error on line 1"):
        split_csv(text)


@fuzz(st.lists(st.text(alphabet='abc,"= ', max_size=6), min_size=1, max_size=4))
def test_whatever_is_quoted_comes_back_as_it_was(fields: list[str]) -> None:
    quoted = ",".join('"' + f.replace('"', '""') + '"' for f in fields)
    assert split_csv(quoted) == fields


@fuzz(st.lists(st.text(alphabet="-=abdit ", max_size=5), max_size=6))
def test_whatever_is_typed_is_read_or_refused(words: list[str]) -> None:
    try:
        Parser(table(TABLE)).parse(words)
    except (UsageError, Help):
        pass
