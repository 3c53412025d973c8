import shlex

import mistune
import pytest

from fer_utils.evaluation.markdown import code, escaped, one_line, shell_word

HOSTILE = ['a | b', 'my "net"', "it's", "<b>x</b>", "`a`", "``", "a\n---\nb", "*a* _b_ ~~c~~", "[a](b)", "# a",
           "&lt; & x", "Größe", "back\\slash", "$(rm)"]
page = mistune.create_markdown(plugins=["table", "strikethrough"], escape=False)


def shown(html):
    """Return the text that a browser would show, without its tags."""
    for name, letter in (("lt", "<"), ("gt", ">"), ("quot", '"'), ("amp", "&")):
        html = html.replace(f"&{name};", letter)
    return html


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_shows_itself_and_nothing_else(text):
    assert shown(page(f"x {escaped(text)} x")) == f"<p>x {one_line(text)} x</p>\n"
    assert shown(page(f"x {code(text)} x")) == f"<p>x <code>{one_line(text)}</code> x</p>\n"


@pytest.mark.parametrize("write", [escaped, lambda text: code(text, table=True)])
def test_a_text_does_not_end_its_cell(write):
    table = page("| a | b |\n|---|---|\n" + "".join(f"| {write(text)} | 2 |\n" for text in HOSTILE))
    assert table.count("<td") == 2 * len(HOSTILE) and table.count("<td>2</td>") == len(HOSTILE)


def test_plain_names_stay_as_they_are():
    assert escaped("fer_net_tiny, 50 % & more") == "fer_net_tiny, 50 % & more" and code("fer_net") == "`fer_net`"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_word_of_a_command_is_one_word(text):
    assert shlex.split(f"x {shell_word(text)} y") == ["x", one_line(text), "y"]


def test_what_is_no_utf8_and_control_characters_are_left_out():
    assert one_line("a\udcff\x1b[0m\tb\0") == "a?[0m b"
