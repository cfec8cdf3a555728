"""Go templates: what `--format` prints."""

from typing import Any

import pytest
from hypothesis import given as fuzz
from hypothesis import strategies as st

from bascule.cli.gofuncs import TemplateError, strict
from bascule.cli.template import parse, render

WEB = {
    "Name": "web",
    "Ports": {"80/tcp": [{"HostPort": "8080"}, {"HostPort": "8081"}], "9/udp": None},
    "Env": ["A=b", "C=d"],
    "Size": 1234,
    "Share": 0.5,
    "Running": True,
    "Dead": False,
    "Labels": {"b": "2", "a.b": "1"},
    "Nothing": None,
    "Empty": [],
}


def shown(template: str, value: Any = WEB) -> str:
    return render(parse(template), value)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{{.Name}}", "web"),
        ("{{ .Name }}!{{.Size}}", "web!1234"),
        ("{{.}}", "hello"),
        ("{{.Running}} {{.Share}}", "true 0.5"),
        ("{{.Env}} {{.Labels}}", "[A=b C=d] map[a.b:1 b:2]"),
        ("{{.Missing}} {{.Nothing}}", "<no value> <no value>"),
        ('{{index .Labels "a.b"}}', "1"),
        ("{{index .Env 1}}", "C=d"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        ('{{with index .Ports "80/tcp"}}{{(index . 1).HostPort}}{{end}}', "8081"),
        ("{{json .Env}} {{json .Nothing}} {{json .Name}}", '["A=b","C=d"] null "web"'),
        ('{{join .Env ","}} {{upper .Name}} {{lower "ABC"}} {{title .Name}}', "A=b,C=d WEB abc Web"),
        ("{{len .Env}} {{len .Name}} {{slice .Name 1 2}} {{truncate .Name 2}}", "2 3 e we"),
        ('{{range split .Name "e"}}<{{.}}>{{end}}', "<w><b>"),
        ("{{range .Env}}{{.}};{{end}}", "A=b;C=d;"),
        ("{{range $i, $e := .Env}}{{$i}}={{$e}} {{end}}", "0=A=b 1=C=d "),
        ("{{range $k, $v := .Labels}}{{$k}}:{{$v}} {{end}}", "a.b:1 b:2 "),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range .Nothing}}x{{else}}none{{end}}", "none"),
        ("{{range .Env}}{{.}}{{break}}{{end}}", "A=b"),
        ('{{range .Env}}{{if eq . "A=b"}}{{continue}}{{end}}{{.}}{{end}}', "C=d"),
        ("{{range $i, $e := .Env}}{{if $i}}, {{end}}{{$e}}{{end}}", "A=b, C=d"),
        ("{{range $p, $b := .Ports}}{{if $b}}{{$p}}->{{(index $b 0).HostPort}}{{end}}{{end}}", "80/tcp->8080"),
        ("{{if .Running}}up{{else}}down{{end}}", "up"),
        ("{{if .Dead}}dead{{else if .Running}}up{{else}}down{{end}}", "up"),
        ("{{if not .Dead}}alive{{end}}{{if .Empty}}x{{end}}", "alive"),
        ('{{if and .Running (eq .Name "web")}}yes{{end}}', "yes"),
        ('{{if or .Dead (ne .Name "db")}}yes{{end}}', "yes"),
        ('{{if eq .Name "db" "web"}}one of{{end}}', "one of"),
        ("{{if gt .Size 1000}}big{{end}}{{if le .Size 5}}small{{end}}", "big"),
        ("{{with .Nothing}}x{{else}}else{{end}}", "else"),
        ("{{with $x := .Name}}{{$x}}{{.}}{{end}}", "webweb"),
        ("{{$n := .Name}}{{range .Env}}{{$n}} {{$.Name}} {{end}}", "web web web web "),
        ("{{$n := 1}}{{if true}}{{$n = 2}}{{end}}{{$n}}", "2"),
        (
            '{{.Name | printf "%-5s|"}}{{printf "%q %d %v %5.1f%%" .Name .Size .Env .Share}}',
            'web  |"web" 1234 [A=b C=d]   0.5%',
        ),
        ('{{"a" | print "b"}} {{`raw\\n`}} {{"tab\\t."}}', "b" + "a raw\\n tab\t."),
        ("{{println .Name}}", "web\n"),
        ("a {{- .Name -}} b", "awebb"),
        ("a {{- /* why */ -}} b{{/* x */}}", "ab"),
        ('{{html "<a>"}} {{pad "x" 1 2}}|', "&lt;a&gt;  x  |"),
        ("{{$.Name}} {{true}} {{3}} {{-4}}", "web true 3 -4"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ('{{(printf "%s" .Name) | upper}}', "WEB"),
    ],
)
def test_a_template_prints(template: str, text: str) -> None:
    value = "hello" if template == "{{.}}" else WEB
    assert shown(template, value) == text


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{.Name", "unclosed action"),
        ("{{if .Name}}x", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{}}", "missing value for command"),
        ("{{bogus .Name}}", 'function "bogus" not defined'),
        ("{{$x}}", "undefined variable"),
        ("{{(.Name}}", "unclosed left paren"),
        ("{{.Name)}}", "unexpected right paren"),
        ('{{"abc}}', "unterminated quoted string"),
        ("{{/* x }}", "unclosed comment"),
        ("{{.Name.First}}", "web has no field First"),
        ("{{.Nothing.First}}", "nil data"),
        ("{{index .Env 7}}", "index out of range"),
        ("{{len .Size}}", "error calling len"),
        ("{{upper}}", "error calling upper"),
        ("{{range .Running}}{{end}}", "can't iterate over true"),
    ],
)
def test_a_wrong_template_says_what_is_wrong(template: str, why: str) -> None:
    with pytest.raises(TemplateError) as wrong:
        shown(template)
    assert str(wrong.value).startswith("template parsing error: template: :1: ")
    assert why in str(wrong.value)


def test_inspect_takes_no_key_that_is_not_there() -> None:
    with pytest.raises(TemplateError, match='map has no entry for key "Nope"'):
        shown("{{.A.Nope}}", strict({"A": {"B": 1}}))


@fuzz(st.text(alphabet='{}.-|()$"` \nabNameif', max_size=30))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    try:
        shown(text)
    except TemplateError:
        pass


@fuzz(st.text(alphabet="abc }\n\t%", max_size=20))
def test_text_without_actions_is_itself(text: str) -> None:
    assert shown(text) == text
