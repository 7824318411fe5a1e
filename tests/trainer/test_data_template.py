"""Chat templates: what of a conversation is learnt, and what a stranger's template may do. Needs no torch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.byte_tokens import CHATML, CONTROL, byte_tokens
from trainer.data import sandbox
from trainer.data.reasons import Reason, UnfitError
from trainer.data.template import choose
from trainer.errors import ConfigError
from trainer.refusals import TEMPLATES

TURNS = (("system", "Be brief."), ("user", "Hi"), ("assistant", "Yes?"), ("user", "Go"), ("assistant", " now "))

# What published templates do: a system turn of their own, refusals, thoughts that are left out once they are old.
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}" + CHATML
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system, please') }}{% endif %}" + CHATML
FORGETFUL = CHATML.replace(
    "message.content +", "('<think></think>' if loop.last and message.role == 'assistant' else '') + message.content +"
)
TAGGED = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ENDLESS = "{% for m in messages %}{{ m.role + ': ' + m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"


def learnt(template: str | None, turns: tuple[tuple[str, str], ...] = TURNS, wanted: str | None = None) -> list[str]:
    return [text for text, carries_loss in choose(wanted, byte_tokens(template)).segments(turns) if carries_loss]


@pytest.mark.parametrize("template", [CHATML, DEFAULT_SYSTEM, TAGGED])
def test_exactly_the_turns_of_the_assistant_and_their_ends_are_learnt(template: str) -> None:
    assert learnt(template) == ["Yes?<|im_end|>", " now <|im_end|>"]
    chosen = choose(None, byte_tokens(template))
    assert (chosen.name, chosen.text, chosen.note) == ("tokenizer", template, None)


def test_an_end_that_a_template_leaves_out_of_its_generation_is_learnt_all_the_same() -> None:
    assert "{% endgeneration %}" in TAGGED
    assert "<|im_end|>{% endgeneration" not in TAGGED
    assert all(text.endswith("<|im_end|>") for text in learnt(TAGGED))


def test_a_conversation_is_the_text_that_the_template_puts_out() -> None:
    whole = "".join(text for text, _ in choose(None, byte_tokens(CHATML)).segments(TURNS))
    assert whole == "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in TURNS)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
    lambda said: not any(token in said for token in (*CONTROL, "\ufdd0", "\ufdd1"))
)
conversations = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), text), min_size=1, max_size=6)


@given(conversations)
def test_a_template_with_marks_and_one_without_tell_the_same_turns_apart(turns: list[tuple[str, str]]) -> None:
    marked, told = (choose(wanted, byte_tokens(CHATML)).segments(turns) for wanted in ("chatml", None))
    assert marked == told
    assert [said for said, carries_loss in told if carries_loss] == [
        f"{said}<|im_end|>" for role, said in turns if role == "assistant"
    ]


@given(conversations.filter(lambda turns: turns[-1][0] == "assistant" and turns[0][0] != "assistant"))
def test_what_stands_before_an_answer_is_what_the_model_is_asked_with(turns: list[tuple[str, str]]) -> None:
    template = choose(None, byte_tokens(DEFAULT_SYSTEM))
    *before, (answer, carries_loss), _rest = template.segments(turns)
    assert carries_loss
    assert answer == turns[-1][1] + "<|im_end|>"
    assert "".join(said for said, _ in before) == template.prompt(turns[:-1])


@pytest.mark.parametrize(
    ("template", "note"),
    [
        (None, "the tokenizer has no chat template"),
        (FORGETFUL, "cannot be told apart"),
        (ENDLESS, "cannot be told apart"),
        ("{{ messages }}", "a plain conversation is"),
        ("{% if", "TemplateSyntaxError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ raise_exception('not for you') }}", "not for you"),
        ("{{ messages[0]['content'] }}", "a plain conversation is"),
        (CHATML.replace("assistant\n", "bot\n"), "cannot be told apart"),
        (
            TAGGED.replace("assistant\n", "bot\n"),
            "what stands before an answer is not what it puts out when asked for one",
        ),
        (
            "{% for m in messages %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% endfor %}",
            "told apart",
        ),
    ],
)
def test_a_template_that_cannot_be_masked_gives_way_to_chatml_and_says_why(template: str | None, note: str) -> None:
    chosen = choose(None, byte_tokens(template))
    assert chosen.name == "chatml"
    assert chosen.note is not None
    assert note in chosen.note
    assert [said for said, carries_loss in chosen.segments(TURNS) if carries_loss] == [
        "Yes?<|im_end|>",
        " now <|im_end|>",
    ]


@pytest.mark.parametrize("wanted", [FORGETFUL, ENDLESS, "{{", "{{ messages }}"])
def test_a_template_that_was_asked_for_and_cannot_be_masked_is_refused(wanted: str) -> None:
    with pytest.raises(ConfigError, match=r"^data\.chat_template: "):
        choose(wanted, byte_tokens(CHATML))


def test_a_tokenizer_that_can_say_nothing_is_refused_with_both_reasons() -> None:
    with pytest.raises(
        ConfigError, match=r"no chat template; nor can chatml: the tokenizer has no <\|im_end\|> and <\|im_start\|>"
    ):
        choose(None, byte_tokens(None, {"</s>": 256}))


def test_a_template_that_was_asked_for_comes_before_the_tokenizers_own() -> None:
    assert choose(TAGGED, byte_tokens(CHATML)).name == "given"
    assert choose("chatml", byte_tokens(TAGGED)).name == "chatml"
    assert choose("chatml", byte_tokens(CHATML)).note is None


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_built_in_template_masks_exactly_in_its_own_tokens(name: str) -> None:
    control = [
        "<|im_start|>", "<|im_end|>", "<|im_sep|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
        "<|eot_id|>", "<bos>", "<start_of_turn>", "<end_of_turn>",
    ]  # fmt: skip
    tokens = byte_tokens(None, {token: 256 + at for at, token in enumerate(control)})
    said = [text for text, carries_loss in choose(name, tokens).segments(TURNS) if carries_loss]
    assert [answer.rpartition("<")[0].strip() for answer in said] == ["Yes?", "now"]


def test_a_row_that_the_template_refuses_is_rejected_and_says_so() -> None:
    template = choose(None, byte_tokens(NO_SYSTEM))
    assert template.segments(TURNS[1:])
    with pytest.raises(UnfitError) as rejection:
        template.segments(TURNS)
    assert rejection.value.reason is Reason.NOT_RENDERED


def test_a_row_that_only_some_turns_of_blur_is_rejected() -> None:
    swallows = CHATML.replace("message.content +", "message.content.replace('secret', '') +")
    with pytest.raises(UnfitError) as rejection:
        choose(None, byte_tokens(swallows)).segments((("user", "a"), ("assistant", "a secret")))
    assert rejection.value.reason is Reason.NOT_MASKED


# A stranger's program.

ESCAPES = [
    "{{ messages.__class__.__mro__ }}",
    "{{ ''.__class__ }}",
    "{{ raise_exception.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler }}{{ cycler.__init__ }}",
    "{{ lipsum() }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{{ messages.append(1) }}",
    "{{ strftime_now('%Y') }}",
    "{{ open('/etc/passwd') }}",
    "{{ ''|attr('__class__') }}",
]
BOMBS = [
    "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
    "{% for a in range(1000000000) %}{% endfor %}",
    "{{ 'a' * 100000000000 }}",
    "{{ 100000000000 * 'a' }}",
    "{{ [1] * 100000000000 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ '%100000000000d' % 1 }}",
    "{{ '{:>100000000000}'.format(1) }}",
    "{{ 'a'.ljust(100000000000) }}",
    "{{ 'a'|center(100000000000) }}",
    "{{ ('a' * 9000000).replace('a', 'b' * 9000000) }}",
    "{{ ('a' * 9000000)|replace('a', 'b' * 9000000) }}",
    "{{ ('a' * 9000000).join('bbbbb') }}",
    "{{ ['a' * 9000000]|tojson|indent('b' * 100000000) }}",
    "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=9) %}{% for i in range(60) %}{% set n.x = n.x * n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x %}{{ n.x }}{{ n.x }}{% endset %}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for i in range(9999) %}{{ 'a' * 9000000 }}{% endfor %}",
    "{{ " + "(" * 3000 + ")" * 3000 + " }}",
    "{{ " + "-" * 100_000 + "1 }}",
]


@pytest.mark.parametrize("program", [*ESCAPES, *BOMBS], ids=lambda program: program[:40])
def test_a_program_that_reaches_out_or_does_not_end_is_stopped(program: str) -> None:
    with pytest.raises(sandbox.RenderError) as refusal:
        sandbox.compiled(program, {})([{"role": "user", "content": "a"}], False)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("program", "wanted"),
    [
        ("{% for m in messages if m.role == 'user' %}{{ loop.index0 }}{{ loop.length }}{{ m.content | trim }}{% endfor %}", "01a"),
        ("{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{{ m.role }}{% endfor %}", "user"),
        ("{{ messages | map(attribute='role') | join(', ') }}", "user, assistant"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "1"),
        ("{{ messages[0] | tojson }}", '{"role": "user", "content": " a "}'),
        ("{{ messages[1:] | tojson(indent=2) | length > 10 }}", "True"),
        ("{{ 'x' ~ 1 ~ none }}{{ 'a,b'.split(',', maxsplit=1)[-1] }}{{ '-' * 3 }}{{ 7 % 4 }}", "x1Noneb---3"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2"),
        ("{{ bos_token }}{{ add_generation_prompt }}{{ strftime_now is defined }}{{ tools is none }}", "<s>TrueFalseTrue"),
        ("{% macro say(m) %}[{{ m.content }}]{% endmacro %}{{ say(messages[1]) }}", "[b]"),
        ("{%- if messages -%}\n  x\n{%- endif %}", "x"),
        ("{% for k, v in messages[0].items() %}{{ k }}{% endfor %}{{ 'a\nb' | indent(2) }}", "rolecontenta\n  b"),
        ("{{ '<b>' | trim }}{{ nothing }}{% for x in nothing %}{% endfor %}{{ 'A'.lower().replace('a', 'b') }}", "<b>b"),
    ],
)  # fmt: skip
def test_what_chat_templates_are_made_of_works(program: str, wanted: str) -> None:
    messages = [{"role": "user", "content": " a "}, {"role": "assistant", "content": "b"}]
    assert sandbox.compiled(program, {"bos_token": "<s>"})(messages, True) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("template", [CHATML, DEFAULT_SYSTEM, TAGGED, choose("chatml", byte_tokens()).text])
def test_a_conversation_is_rendered_as_transformers_renders_it(byte_tokenizer, template: str) -> None:
    messages = [{"role": role, "content": content} for role, content in TURNS]
    chosen = choose(template, byte_tokens())
    theirs = byte_tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False)
    assert "".join(said for said, _ in chosen.segments(TURNS)) == theirs
    asked = byte_tokenizer.apply_chat_template(
        messages[:2], chat_template=template, tokenize=False, add_generation_prompt=True
    )
    assert chosen.prompt(TURNS[:2]) == asked


@pytest.mark.slow
def test_the_mask_is_the_one_that_transformers_takes_from_the_same_marks(byte_tokenizer) -> None:
    from trainer import data

    chatml = choose("chatml", byte_tokens())
    messages = [{"role": role, "content": content} for role, content in TURNS]
    theirs = byte_tokenizer.apply_chat_template(
        messages, chat_template=chatml.text, return_dict=True, return_assistant_tokens_mask=True
    )
    ours = data.tokens.row(data.of(byte_tokenizer), chatml.segments(TURNS))
    assert list(ours.ids) == theirs["input_ids"]
    assert list(ours.learnt) == theirs["assistant_masks"]
