"""What soup writes down names nobody and opens nothing.

Secrets are put together at run time, so that no scanner takes this file for a leak.
"""

import base64
import os
import re
import string
from re import _constants as op
from re import _parser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.redaction import HOME, Redactor, checks, expand_home, names
from commands.redaction.rules import RULES, Rule

OWN_HOME = "/home/alice"
HEX64 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
GIT_SHA = "4111111111111111d081884c7d659a2feaa0c55a"


def redact(text: str) -> tuple[str, dict[str, int]]:
    redactor = Redactor(OWN_HOME)
    return redactor.text(text), redactor.counts


def redact_argv(argv: list[str]) -> tuple[list[str], dict[str, int]]:
    redactor = Redactor(OWN_HOME)
    return redactor.argv(argv), redactor.counts


# ---------------------------------------------------------------------------------------------------------------------
# Generated secrets: for each rule what stands before, a pattern or strategy of the secret, and what stands after.
# ---------------------------------------------------------------------------------------------------------------------


def _with_luhn(body: str) -> str:
    return next(body + digit for digit in string.digits if checks.luhn(body + digit))


def _as_iban(country: str, bban: str) -> str:
    rest = int("".join(str(int(char, 36)) for char in bban + country + "00")) % 97
    return f"{country}{98 - rest:02d}{bban}"


def _in_fours(text: str) -> str:
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def _digits(count: int) -> st.SearchStrategy[str]:
    return st.text(string.digits, min_size=count, max_size=count)


PASSWORDS = st.text(string.ascii_letters + string.digits + "!$%*+-./:=@^_~", min_size=8, max_size=40).filter(
    lambda value: checks.set_value(value) and value[0] not in "=:*!>"
)
CARDS = st.one_of(
    st.builds(lambda body: _with_luhn("4" + body), _digits(14)),
    st.builds(lambda body: _in_fours(_with_luhn("55" + body)), _digits(13)),
    st.builds(lambda body: _in_fours(_with_luhn("6011" + body)).replace(" ", "-"), _digits(11)),
    st.builds(lambda body: _with_luhn("37" + body), _digits(12)),
    st.builds(lambda body: _with_luhn("62" + body), _digits(16)),
)
IBANS = st.one_of(
    st.builds(_as_iban, st.just("DE"), _digits(18)),
    st.builds(lambda bban: _in_fours(_as_iban("FR", bban)), _digits(23)),
    st.builds(_as_iban, st.just("GB"), _digits(14).map(lambda digits: "WEST" + digits)),
)
ID_IN_BASE64 = _digits(18).map(lambda digits: base64.b64encode(digits.encode()).decode())

GENERATED: dict[str, tuple[str, str | st.SearchStrategy[str], str]] = {
    "private-key": (
        "",
        r"-----BEGIN (RSA |EC |OPENSSH |ENCRYPTED )?PRIVATE KEY-----\n([A-Za-z0-9+/]{64}\n){1,4}-----END \1?PRIVATE KEY-----",
        "",
    ),
    "putty-private-key": ("", r"Private-Lines: 2\n[A-Za-z0-9+/]{64}\n[A-Za-z0-9+/]{20}==", "\n"),
    "note-signer-key": ("", r"PRIVATE\+KEY\+[a-z/.]{1,20}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}", ""),
    "auth-header": ("Authorization: ", r"Bearer [A-Za-z0-9._-]{1,60}", ""),
    "option-secret": ("soup train --hf-token ", r"[A-Za-z0-9_]{8,40}[0-9]", " --config soup.yaml"),
    "secret-line": ("\npassphrase: ", r"[a-z]{3,9}( [a-z]{3,9}){3,6}", "\n"),
    "secret-assignment": ("password=", PASSWORDS, ""),
    "token-assignment": ("HF_TOKEN=", r"[A-Za-z0-9_-]{8,40}[0-9][A-Za-z]", ""),
    "xml-secret": ("<password>", r"[a-z]{8,20}", "</password>"),
    "netrc-password": ("login bob password ", r"[a-z]{8,20}", "\n"),
    "login-option": ("curl -u ", r"[a-z]{4,8}:[a-z]{4,20}", " x"),
    "url-userinfo": ("https://", r"[a-z]{5,8}:[A-Za-z0-9%._~-]{1,40}", "@host.example/x"),
    "url-password": ("postgresql://", r"[a-z]{3,8}:[a-z]{3,8}/[a-z]{3,8}", "@host/db"),
    "signed-url": ("https://host/x?X-Amz-Signature=", r"[0-9a-f]{64}", "&x=1"),
    "bearer-token": ("sent bearer ", r"[A-Za-z0-9]{10,30}[0-9]{2}", ""),
    "basic-credentials": (
        "Basic ",
        st.builds(lambda user, word: base64.b64encode(f"{user}:{word}".encode()).decode(),
                  st.text("abc", min_size=3, max_size=9), st.text("xyz", min_size=3, max_size=9)),
        "",
    ),
    "home-of-another": ("", r"/(home|Users)/(?!alice)[a-z]{5,9}", "/x.json"),
    "aws-access-key": ("", r"(AKIA|ASIA)[A-Z2-7]{16}", ""),
    "aws-bedrock-key": ("", r"ABSKQmVkcm9jaw[A-Za-z0-9+/]{90}", ""),
    "gcp-api-key": ("", r"AIza[0-9A-Za-z_-]{35}", ""),
    "google-oauth": ("", r"(ya29\.|GOCSPX-|1//0)[A-Za-z0-9_-]{40}", ""),
    "azure-client-secret": ("", r"[A-Za-z0-9]{3}8Q~[A-Za-z0-9_.~-]{33}[A-Za-z0-9]", ""),
    "azure-key": ("", r"[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{26}|[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}", ""),
    "digitalocean-token": ("", r"do[opr]_v1_[a-f0-9]{64}", ""),
    "cloudflare-token": ("", r"cf(k|ut|at)_[A-Za-z0-9]{48}|v1\.0-[a-f0-9]{24}-[a-f0-9]{146}", ""),
    "alibaba-access-key": ("", r"LTAI[A-Za-z0-9]{20}", ""),
    "vault-token": ("", r"hv[sb]\.[A-Za-z0-9_-]{90}", ""),
    "terraform-token": ("", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9]{67}", ""),
    "databricks-token": ("", r"dapi[a-f0-9]{32}(-2)?", ""),
    "platform-token": ("", r"(glsa_|lin_api_|shpat_|pul-|sbp_|ntn_|dp\.pt\.)[0-9][A-Za-z0-9]{39}", ""),
    "github-token": ("", r"gh[pousr]_[A-Za-z0-9]{36}|ghs_[0-9]{6}_eyJ[A-Za-z0-9_-]{40}\.[A-Za-z0-9_-]{200}\.[A-Za-z0-9]{43}", ""),
    "github-pat": ("", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}", ""),
    "gitlab-token": ("", r"gl(pat|ptt|dt|rt|cbt|ft)-[A-Za-z0-9_-]{20}|glpat-[A-Za-z0-9_-]{27}\.01\.[a-z0-9]{9}", ""),
    "atlassian-token": ("", r"(ATATT3|ATBB)[A-Za-z0-9_-]{32}=[A-F0-9]{8}", ""),
    "slack-token": ("", r"xox[abeprs]-[0-9]{12}-[0-9]{12}-[A-Za-z0-9]{24}|xapp-1-A[A-Z0-9]{10}-[0-9]{13}-[a-f0-9]{64}", ""),
    "slack-webhook": ("https://hooks.slack.com/services/", r"T[A-Z0-9]{8}/B[A-Z0-9]{8}/[A-Za-z0-9]{24}", ""),
    "discord-token": ("", st.builds("{}.{}.{}".format, ID_IN_BASE64, st.from_regex(r"\A[A-Za-z0-9_-]{6}\Z"),
                                    st.from_regex(r"\A[A-Za-z0-9_-]{38}\Z")), ""),
    "chat-webhook": ("https://discord.com/api/webhooks/", r"[1-9][0-9]{17}/[A-Za-z0-9_-]{68}", ""),
    "telegram-token": ("https://api.telegram.org/bot", r"[1-9][0-9]{8,9}:AA[A-Za-z0-9_-]{33}", "/getMe"),
    "huggingface-token": ("", r"hf_[A-Za-z]{34}|api_org_[A-Za-z]{34}", ""),
    "anthropic-key": ("", r"sk-ant-(api|admin)03-[A-Za-z0-9_-]{93}AA", ""),
    "sk-key": ("", r"sk-[0-9][A-Za-z0-9]{19}T3BlbkFJ[A-Za-z0-9]{20}|sk-(proj|svcacct)-[0-9][A-Za-z0-9_-]{120}|sk-or-v1-[a-f0-9]{63}[0-9]", ""),
    "openai-session": ("", r"sess-[A-Za-z0-9]{40}", ""),
    "wandb-key": ("", r"wandb_v1_[A-Za-z0-9_]{77}", ""),
    "kaggle-token": ("", r"KGAT_[a-f0-9]{32}", ""),
    "ai-vendor-key": ("", r"(r8_|gsk_|nvapi-|pplx-|xai-|tvly-)[0-9][A-Za-z0-9]{39}", ""),
    "pypi-token": ("", r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{70}", ""),
    "npm-token": ("", r"npm_[A-Za-z0-9]{36}", ""),
    "registry-token": ("", r"cio[A-Za-z0-9]{32}|dckr_pat_[A-Za-z0-9_-]{27}|oy2[a-z0-9]{43}|rubygems_[a-f0-9]{48}", ""),
    "stripe-key": ("", r"[sr]k_(live|test)_[A-Za-z0-9]{24}|whsec_[A-Za-z0-9]{32}", ""),
    "sendgrid-key": ("", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", ""),
    "twilio-key": ("", r"(SK|AC)[a-f0-9]{32}", ""),
    "mail-key": ("", r"key-[a-f0-9]{32}|[a-f0-9]{32}-us[1-9]", ""),
    "jwt": ("", r"eyJ[A-Za-z0-9]{20}\.eyJ[A-Za-z0-9_-]{40}\.[A-Za-z0-9_-]{43}|eyJ[A-Za-z0-9]{40}\.\.[A-Za-z0-9]{16}\.[A-Za-z0-9]{40}\.[A-Za-z0-9]{22}", ""),
    "age-secret-key": ("", r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}", ""),
    "email": ("", r"[a-z][a-z0-9._+-]{0,20}[a-z0-9](@|%40)[a-z0-9-]{1,20}[a-z]\.(com|co\.uk|de|museum)", ""),
    "iban": ("", IBANS, ""),
    "payment-card": ("", CARDS, ""),
    "us-ssn": ("", r"(00[1-9]|[1-57][0-9]{2}|8[0-9]{2})-(0[1-9]|[1-9][0-9])-[1-9][0-9]{3}", ""),
    "us-ssn-labelled": ("SSN: ", r"[1-57][0-9]{2} ?[1-9][0-9] ?[1-9][0-9]{3}", ""),
    "phone-international": ("", r"\+1 [2-9][02-9][0-9] [2-9][02-9][0-9] [0-9]{4}|\+49 [1-9][0-9]{2} [0-9]{7}|\+3[34][1-9][0-9]{9}", ""),
    "phone-us": ("", r"(\([2-9][02-9][0-9]\) |[2-9][02-9][0-9][.-])[2-9][02-9][0-9]-[0-9]{4}", ""),
    "phone-european": ("", r"0[1-9]( [0-9]{2}){4}|020 [0-9]{4} [0-9]{4}|0[1-9][0-9]{2}-[3-9][0-9]{6}", ""),
    "phone-labelled": ("phone: ", r"[1-9][0-9]{2}[ /][0-9]{3} [0-9]{4}", ""),
}  # fmt: skip


def secrets_of(rule: str) -> st.SearchStrategy[str]:
    source = GENERATED[rule][1]
    return (
        st.from_regex(source, fullmatch=True, alphabet=st.characters(codec="ascii"))
        if isinstance(source, str)
        else source
    )


# Harmless words, of the alphabet of prose, from which texts are made.
SAFE_TEXT = st.lists(
    st.sampled_from(
        [
            "the",
            "model",
            "was",
            "trained on",
            "v2.1",
            "0.5",
            "dropout",
            "Zürich",
            "模型",
            "failed at",
            "step 100",
            "-1",
            "x/y",
        ]
    ),
    max_size=6,
).map(" ".join)


@pytest.mark.parametrize("rule", GENERATED)
@settings(deadline=None, max_examples=25)  # times 64 rules
@given(data=st.data(), before=SAFE_TEXT, after=SAFE_TEXT, gap=st.sampled_from([" ", "\n", ", ", "; "]))
def test_a_generated_secret_of_each_rule_never_survives_in_a_text_and_is_counted_under_its_name(
    rule, data, before, after, gap
):
    secret = data.draw(secrets_of(rule))
    lead, _, trail = GENERATED[rule]
    out, counts = redact(f"{before}\n{lead}{secret}{trail}{gap}{after}")
    assert secret not in out
    assert counts == {rule: 1}, out
    assert out.startswith(before)
    assert ("[home-of-another]" if rule == "home-of-another" else f"[redacted:{rule}]") in out
    if gap == "\n":  # on the same line a header or the next group of digits may go with it
        assert out.endswith(after)


def test_every_rule_has_a_generator():
    assert set(GENERATED) == {rule.name for rule in RULES}


# ---------------------------------------------------------------------------------------------------------------------
# Tables: what is hidden, written out.
# ---------------------------------------------------------------------------------------------------------------------

TOKEN = "hf" + "_" + "aBcDeFgHiJ" * 3 + "kLmN"
GITHUB = "ghp" + "_" + "0aB1cD2eF3" * 3 + "gH4iJ5"
PEM_HEAD = "-----BEGIN " + "PRIVATE KEY-----"
PEM_TAIL = "-----END " + "PRIVATE KEY-----"

HIDDEN = [
    ("password=hunter2, user=bob", "password=[redacted:secret-assignment], user=bob"),
    ('{"password": "hunter2", "user": "bob"}', '{"password": "[redacted:secret-assignment]", "user": "bob"}'),
    ('{"password": "with \\" a quote", "n": 1}', '{"password": "[redacted:secret-assignment]", "n": 1}'),
    (r"{\"password\": \"hunter2\", \"n\": 1}", r"{\"password\": \"[redacted:secret-assignment]\", \"n\": 1}"),
    ("{'api_key': 'x'}", "{'api_key': '[redacted:secret-assignment]'}"),
    ("client_secret=a,b;c&user=bob", "client_secret=[redacted:secret-assignment]&user=bob"),
    ("Server=x;Uid=sa;Pwd=a b;", "Server=x;Uid=sa;Pwd=[redacted:secret-assignment] b;"),
    (
        "AccountName=x;AccountKey=" + "A" * 86 + "==;EndpointSuffix=y",
        "AccountName=x;AccountKey=[redacted:secret-assignment];EndpointSuffix=y",
    ),
    ("https://h/x?api_key=abc&page=2", "https://h/x?api_key=[redacted:secret-assignment]&page=2"),
    ("https://h/x?next=%2F%3Fpassword%3Dhunter2", "https://h/x?next=%2F%3Fpassword%3D[redacted:secret-assignment]"),
    ("a: 1\npassword: two words  \nb: 2", "a: 1\npassword: [redacted:secret-line]\nb: 2"),
    ("db_password: |\n  hunter2\nb: 2", "db_password: |\n  [redacted:secret-line]\nb: 2"),
    ("otp=123456", "otp=[redacted:secret-assignment]"),
    ("- secret: x", "- secret: [redacted:secret-line]"),
    ("the API key: abc", "the API key: [redacted:secret-assignment]"),
    ("WANDB_API_KEY=" + "0a" * 20, "WANDB_API_KEY=[redacted:secret-assignment]"),
    ("COHERE_API_KEY: " + "x" * 40, "COHERE_API_KEY: [redacted:secret-line]"),
    ("token: " + TOKEN, "token: [redacted:token-assignment]"),
    ("//registry.example/:_authToken=abc123", "//registry.example/:_authToken=[redacted:token-assignment]"),
    ("aws_access_key_id=AKIA" + "A2" * 8, "aws_access_key_id=[redacted:aws-access-key]"),
    ("AKIA" + "A2" * 8 + ":" + "w/" * 20, "[redacted:aws-access-key]"),
    (
        "git clone https://x-access-token:" + GITHUB + "@github.com/a/b",
        "git clone https://[redacted:url-userinfo]@github.com/a/b",
    ),
    ("https://bob@host/", "https://[redacted:url-userinfo]@host/"),
    ("redis://:p@ss@host:6379/0", "redis://[redacted:url-userinfo]@host:6379/0"),
    ("postgresql://u:p/w@host/db", "postgresql://[redacted:url-password]@host/db"),
    ("curl -H 'Authorization: Bearer abc' https://h", "curl -H 'Authorization: [redacted:auth-header]' https://h"),
    ('{"Authorization": "Basic abc"}', '{"Authorization": "[redacted:auth-header]"}'),
    (
        'Authorization: Digest username="bob", response="00"',
        'Authorization: [redacted:auth-header]"bob", response="00"',
    ),
    ("Cookie: a=b; c=d\nHost: x", "Cookie: [redacted:auth-header]\nHost: x"),
    ("X-Api-Key: abc", "X-Api-Key: [redacted:secret-line]"),
    (
        "soup train --hf-token " + TOKEN + " --config soup.yaml",
        "soup train --hf-token [redacted:option-secret] --config soup.yaml",
    ),
    ("soup train --hf-token hf_x", "soup train --hf-token [redacted:option-secret]"),
    ("soup x --token=a --n 1", "soup x --token=[redacted:option-secret] --n 1"),
    ("soup x --passphrase 'two words' --n 1", "soup x --passphrase '[redacted:option-secret]' --n 1"),
    (
        r'{"invocation": "soup x --token \"a b\" --n 1"}',
        r'{"invocation": "soup x --token \"[redacted:option-secret]\" --n 1"}',
    ),
    ("['soup', '--token', 'abc', '--n']", "['soup', '--token', '[redacted:option-secret]', '--n']"),
    ("HF_TOKEN=" + TOKEN + " soup train", "HF_TOKEN=[redacted:token-assignment] soup train"),
    ("x " + PEM_HEAD + "\nMIIE\n" + PEM_TAIL + " y", "x [redacted:private-key] y"),
    (
        '{"private_key": "' + PEM_HEAD + r"\nMIIE\n" + PEM_TAIL + r'\n", "b": 1}',
        r'{"private_key": "[redacted:private-key]\n", "b": 1}',
    ),
    ("x " + PEM_HEAD + "\nMIIEvQ", "x [redacted:private-key]"),
    (
        "---- BEGIN SSH2 ENCRYPTED " + "PRIVATE KEY ----\nAA==\n---- END SSH2 ENCRYPTED PRIVATE KEY ----",
        "[redacted:private-key]",
    ),
    (
        "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----\n\nlQ==\n-----END PGP PRIVATE KEY BLOCK-----.",
        "[redacted:private-key].",
    ),
    ("mail alice@example.com.", "mail [redacted:email]."),
    ("mail jürgen@exämple.de", "mail [redacted:email]"),
    ("mailto:a.b+c%40example.org", "mailto:[redacted:email]"),
    ("call +1 (415) 555-0132 now", "call [redacted:phone-international] now"),
    ("call +442079460958", "call [redacted:phone-international]"),
    ("+49 (0)30 1234567", "[redacted:phone-international]"),
    ("(415) 555-0132, 415.555.0132", "[redacted:phone-us], [redacted:phone-us]"),
    ("tel: 0171/1234567", "tel: [redacted:phone-labelled]"),
    ("ssn 123456789, 123-45-6789", "ssn [redacted:us-ssn-labelled], [redacted:us-ssn]"),
    ("4111 1111 1111 1111 and 3782-822463-10005", "[redacted:payment-card] and [redacted:payment-card]"),
    ("5555555555554444,4111111111111111", "[redacted:payment-card],[redacted:payment-card]"),
    ("IBAN DE89 3704 0044 0532 0130 00 IN TIME", "IBAN [redacted:iban] IN TIME"),
    ("/home/alice/manifests/x.json", "[home]/manifests/x.json"),
    ("file:///home/alice", "file://[home]"),
    ("cc -I/home/alice/include", "cc -I[home]/include"),
    ("PATH=/home/alice/bin:/usr/bin", "PATH=[home]/bin:/usr/bin"),
    ("/home/alice2/x /home/alice.bak", "[home-of-another]/x [home-of-another]"),
    ("/mnt/backup/home/bob/x", "/mnt/backup[home-of-another]/x"),
    (r"C:\Users\John Smith\x", r"[home-of-another]\x"),
]


@pytest.mark.parametrize(("text", "expected"), HIDDEN, ids=[expected for _, expected in HIDDEN])
def test_a_secret_is_hidden_and_what_surrounds_it_stays(text, expected):
    assert redact(text)[0] == expected


HIDDEN_ARGUMENTS = [
    (["--token", "5"], ["--token", "[redacted:option-secret]"]),
    (["--token=5"], ["--token=[redacted:option-secret]"]),
    (["--token", "--5x"], ["--token", "[redacted:option-secret]"]),
    (["--token", "-----" + "x"], ["--token", "[redacted:option-secret]"]),
    (["--private-key", "key.pem"], ["--private-key", "[redacted:option-secret]"]),
    (["--passphrase", "two words"], ["--passphrase", "[redacted:option-secret]"]),
    (["-password", "x"], ["-password", "[redacted:option-secret]"]),
    (["--auth", "x", "--api-key", "y"], ["--auth", "[redacted:option-secret]", "--api-key", "[redacted:option-secret]"]),
    (["HF_TOKEN=x", "soup"], ["HF_TOKEN=[redacted:secret-assignment]", "soup"]),
    (["AWS_SECRET_ACCESS_KEY=a b=c"], ["AWS_SECRET_ACCESS_KEY=[redacted:secret-assignment]"]),
    (["-e", "HF_TOKEN=x"], ["-e", "HF_TOKEN=[redacted:secret-assignment]"]),
    (["--env=HF_TOKEN=x"], ["--env=HF_TOKEN=[redacted:secret-assignment]"]),
    (["-DdbPassword=x"], ["-DdbPassword=[redacted:option-secret]"]),
    (["-H", "Authorization: Bearer x"], ["-H", "Authorization: [redacted:auth-header]"]),
    (["-H", "X-Anything: x"], ["-H", "X-Anything: [redacted:auth-header]"]),
    (["--header=Cookie: x"], ["--header=Cookie: [redacted:auth-header]"]),
    (["-HAuthorization: Bearer x"], ["-HAuthorization: [redacted:auth-header]"]),
    (["-u", "bob:x"], ["-u", "[redacted:login-option]"]),
    (["-ghttps://u:p@host/?x=1"], ["-ghttps://[redacted:url-userinfo]@host/?x=1"]),
    (["--config=/home/alice/x.yaml"], ["--config=[home]/x.yaml"]),
    (["--invocation", "soup train --hf-token hf_x --config soup.yaml"],
     ["--invocation", "soup train --hf-token [redacted:option-secret] --config soup.yaml"]),
    (["--invocation", "soup train --hf-token 'open"], ["--invocation", "soup train --hf-token '[redacted:option-secret]"]),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "expected"), HIDDEN_ARGUMENTS)
def test_a_secret_argument_is_hidden_whole_whatever_it_looks_like(argv, expected):
    assert redact_argv(argv)[0] == expected


# ---------------------------------------------------------------------------------------------------------------------
# Tables: what must survive.
# ---------------------------------------------------------------------------------------------------------------------

HARMLESS = [
    HEX64,
    "sha256:" + HEX64,
    GIT_SHA,
    "123e4567-e89b-12d3-a456-426614174000",
    "12345678-1234-1234-1234-123456789012",
    "0190163d-8694-739b-aea5-966c26f8ad91",
    "2024-05-17T12:34:56.123456Z",
    "2024-05-17 12:34:56+01:00",
    "20240517123456",
    "1732312345678901234",
    "1.0.0 2.9.0.dev20251122+cu130 1.2.3+20240101",
    "192.168.100.200:8080 255.255.255.255 [2001:db8::1]:443",
    "1073741824 bytes, +1073741824 bytes, 16777216 tokens",
    "loss=0.4111111111111111 lr=1e-05 -0.0001",
    "hidden 512 768 3072, 4096 11008 32000",
    "step 0100/1000000, shard 00001-of-00005",
    "meta-llama/Llama-3.1-8B-Instruct",
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "hf_hub_download hf_transfer hf_xet",
    "pad_token_id=0 eos_token='</s>' bos_token: <s> num_tokens=128009 max_tokens: 4096",
    "token: 5 token=128009 tokens: 123456789012",
    "Unexpected token: identifier",
    "unknown token: '<|im_end|>'",
    "KeyError: 'token'",
    "keyword: value, monkey: banana, author: Bob, tokenizer: gpt2, public_key: abcdefghijkl",
    "password: null",
    '{"password": null, "secret": false}',
    "password.txt: no such file",
    "12 passed, pass: 12, fail: 0",
    "key=value",
    "sk-learn-compatible-estimator-names",
    "key-value-store disk-usage task-list",
    "basic information about bearer authentication",
    '{"payload": "'
    + base64.b64encode(b'{"_type":"https://in-toto.io/Statement/v1"}').decode()
    + '", "sig": "'
    + "A" * 86
    + '=="}',
    "sha512-" + "A" * 86 + "==",
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----",
    "git@github.com:org/repo.git ssh://git@github.com/org/repo",
    "docker://alpine@sha256:" + HEX64,
    "pkg:huggingface/meta-llama/Llama-3.1-8B@0123abc",
    "model@v2.json weights@main @app.route user@host",
    "https://host/home/page https://host:8080/a@b",
    r"C:\Users\Public\x /Users/Shared. /usr/home /homes/x /root/x ~/x",
    "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000",
    "4111 1111 1111 1112 1234567890123456 4111111111111112",
    "DE89 3704 0044 0532 0130 01 XX89370400440532013000",
    "415-555-0132-1 (115) 555-0132 211-555-0132 +1 911 555 0132 +210 123 456 789",
    "uid -u 1000:1000",
    "curl --user-agent x",
    "the secret of good bread",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_survives_untouched(text):
    assert redact(text) == (text, {})
    assert redact_argv([text]) == ([text], {})


HARMLESS_ARGUMENTS = [
    ["soup", "bom", "emit", "--name", "llama3-8b-finetuned", "--version", "1.0.0", "--base-sha", HEX64, "--data-sha", HEX64],
    ["--token-count", "5", "--max-tokens", "100", "--tokenizer", "path", "--eos-token", "</s>", "--image-token", "x"],
    ["--key", "public.key", "--public-key", "x", "--key-id", "y", "--sign", "ed25519", "--sha", HEX64],
    ["--password-file", "x", "--token-type", "y", "--auth-url", "z", "--secret-name", "n"],
    ["SOUP_KEY_PASSPHRASE_FILE=/run/x", "model.eos_token=</s>", "tokens_per_batch=5", "a=b"],
    ["--token", "--verbose", "--token=", "HF_TOKEN="],
    ["-H", "Accept: application/json", "--header", "yes"],
    ["-u", "1000:1000"],
    ["--base-model", "meta-llama/Llama-3.1-8B-Instruct", "--license", "apache-2.0", "--task", "sft"],
    ["", "-", "--", "=", "--=x"],
]  # fmt: skip


@pytest.mark.parametrize("argv", HARMLESS_ARGUMENTS)
def test_harmless_arguments_survive_untouched(argv):
    assert redact_argv(argv) == (argv, {})


@settings(deadline=None)
@given(st.binary(min_size=20, max_size=64))
def test_a_digest_survives_in_every_usual_form(digest):
    text = f"{digest.hex()} sha256:{digest.hex()} {digest.hex().upper()}"
    assert redact(text) == (text, {})


@settings(deadline=None)
@given(st.datetimes(), st.uuids(), st.floats(0, 1), st.integers(0, 10**12))
def test_times_uuids_fractions_and_counts_survive(time, uuid, fraction, count):
    text = f"{time.isoformat()}Z {time:%Y-%m-%d %H:%M:%S} {uuid} {fraction} {count}"
    assert redact(text) == (text, {})


# ---------------------------------------------------------------------------------------------------------------------
# Laws
# ---------------------------------------------------------------------------------------------------------------------

FRAGMENTS = st.one_of(
    st.sampled_from([text for text, _ in HIDDEN] + [expected for _, expected in HIDDEN] + HARMLESS),
    st.sampled_from(["password", "token", "--token", "-u", "-H", ":", "Cookie", "=", ": ", '"', "'", "\\", "&", "://", "@", "/home/", "[home]", "[", "]"]),
    st.sampled_from([TOKEN, GITHUB, "AKIA" + "A" * 16, "4111111111111111", "+1 415 555 0132", "DE89370400440532013000"]),
    st.text(max_size=12),
    st.text(st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF, categories=["Cs"]), max_size=2),
)  # fmt: skip
TEXTS = st.lists(FRAGMENTS, max_size=8).map("".join)
ARGUMENTS = st.one_of(
    TEXTS, st.sampled_from(["-u", "-H", "--header", "--token", "--env", "a:b", "1:1", "Cookie: x", "Date: y"])
)


@settings(deadline=None)
@given(TEXTS)
def test_redacting_a_redacted_text_changes_and_counts_nothing(text):
    once, _ = redact(text)
    assert redact(once) == (once, {})


@settings(deadline=None)
@given(st.lists(ARGUMENTS, max_size=6))
def test_redacting_a_redacted_command_line_changes_and_counts_nothing(argv):
    once, _ = redact_argv(argv)
    assert len(once) == len(argv)
    assert redact_argv(once) == (once, {})


@settings(deadline=None)
@given(TEXTS)
def test_a_text_changes_if_and_only_if_something_is_counted(text):
    out, counts = redact(text)
    assert (out != text) == bool(counts)
    assert list(counts) == sorted(counts)


@settings(deadline=None)
@given(st.text(), st.text())
def test_arguments_that_are_no_utf8_neither_crash_nor_shelter_a_secret(before, after):
    raw = before.encode("utf-8", "replace") + b"\xff\xfe" + GITHUB.encode() + b"\xff" + after.encode("utf-8", "replace")
    out, counts = redact(os.fsdecode(raw))
    assert GITHUB not in out
    assert counts
    assert os.fsencode(out)


def test_a_path_that_is_no_utf8_loses_its_home_and_keeps_its_bytes():
    path = os.fsdecode(b"/home/alice/\xff.bin")
    assert redact(path)[0] == "[home]/\udcff.bin"
    assert expand_home(redact(path)[0], OWN_HOME) == path


def test_a_secret_beyond_a_mebibyte_is_found():
    text = "harmless words " * 80_000 + GITHUB
    assert redact(text)[0] == "harmless words " * 80_000 + "[redacted:github-token]"


def test_a_secret_longer_than_a_mebibyte_leaves_nothing_behind():
    assert redact("password=" + "x1" * 600_000 + " end")[0] == "password=[redacted:secret-assignment] end"


def test_counts_add_up_over_texts_and_start_at_nothing():
    redactor = Redactor(OWN_HOME)
    assert redactor.counts == {}
    redactor.text("a@example.com b@example.com")
    redactor.argv(["--token", "x", "/home/alice/y"])
    assert redactor.counts == {"email": 2, "home": 1, "option-secret": 1}


def test_a_placeholder_with_an_unknown_rule_is_text_like_any_other():
    assert redact("[redacted:" + GITHUB + "]")[0] == "[redacted:[redacted:github-token]]"


def test_a_text_that_never_settles_is_hidden_whole(monkeypatch):
    redactor = Redactor()
    unsettling = Rule("email", "a fault", ("a",), "a(?!a)")
    monkeypatch.setattr(redactor, "_rules", (unsettling,))
    assert redactor.text("a" * 100 + "b") == "[redacted:unsettled]"
    assert redactor.counts["unsettled"] == 1


def test_the_fault_that_never_settles_settles_when_it_is_short(monkeypatch):
    redactor = Redactor()
    monkeypatch.setattr(redactor, "_rules", (Rule("email", "a fault", ("a",), "a(?!a)"),))
    assert redactor.text("aab") == "[redacted:email][redacted:email]b"


# Homes


@settings(deadline=None)
@given(
    st.lists(st.text(string.ascii_letters + string.digits + "_-. ", min_size=1, max_size=12), min_size=1, max_size=4)
)
def test_a_path_below_the_own_home_comes_back(parts):
    path = "/".join((OWN_HOME, *parts))
    out, counts = redact(path)
    if set(counts) == {"home"}:  # a part may happen to look like personal data
        assert OWN_HOME not in out
        assert expand_home(out, OWN_HOME) == path


def test_further_spellings_of_the_own_home_are_the_same_home():
    redactor = Redactor("/home/alice/", homes=["/data/home/alice"])
    assert redactor.text("/data/home/alice/x /home/alice/y") == "[home]/x [home]/y"


@pytest.mark.parametrize("home", ["", "/", None])
def test_a_home_that_is_everything_or_nothing_is_no_home(home):
    assert Redactor(home).text("/etc/passwd /x") == "/etc/passwd /x"


def test_the_home_of_root_is_not_found_in_urls_and_longer_paths():
    redactor = Redactor("/root")
    assert (
        redactor.text("https://host/root/x /mnt/root/x /rooted /root")
        == "https://host/root/x /mnt/root/x /rooted [home]"
    )


def test_hiding_one_thing_gives_no_start_to_another():
    redactor = Redactor("/root")
    once = redactor.text("/root/root/x")
    assert once == "[home]/root/x"
    assert redactor.text(once) == once
    assert redactor.counts == {"home": 1}
    assert expand_home(once, "/root") == "/root/root/x"


@pytest.mark.parametrize("path", ["[home-of-another]/x", "[home]/[redacted:email]/x"])
def test_a_path_with_another_placeholder_cannot_be_restored(path):
    assert expand_home(path, OWN_HOME) is None


@pytest.mark.parametrize(("path", "expected"), [(f"{HOME}/x", "/root/x"), ("/etc/x", "/etc/x"), (HOME, "/root")])
def test_expanding_is_a_plain_replacement(path, expected):
    assert expand_home(path, "/root/") == expected


# Names

SECRET_NAMES = """token hf-token HF_TOKEN hfToken HUGGING_FACE_HUB_TOKEN api-key apikey API_KEY x-api-key password
passwd pwd passphrase secret auth private-key AWS_SECRET_ACCESS_KEY aws_session_token client_secret accessToken
PGPASSWORD MYSQL_PWD AccountKey SharedAccessKey SECRET_KEY_BASE PASSWORD_OLD password2 OPENAI_KEY _authToken cookie
Authorization jwt connection_string""".split()  # noqa: SIM905 - a column of words reads better than quotes
HARMLESS_NAMES = """tokens max-tokens token-count token_id tokenizer tokenize pad_token eos-token image_token key
public-key pubkey key-id sort_key primary-key password-file token-file secret-name author authority auth-type oauth
compass bypass passes keyboard monkey secretary cookie-policy x""".split()  # noqa: SIM905 - as above


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_that_promises_a_secret_is_known_in_every_spelling(name):
    assert names.means_secret(name)


@pytest.mark.parametrize("name", [*HARMLESS_NAMES, "", "--", "模型"])
def test_a_name_that_only_sounds_like_a_secret_is_none(name):
    assert not names.means_secret(name)


# The shape of the rules


def test_rules_have_distinct_names_fit_for_a_placeholder_and_say_who_defines_them():
    found = [rule.name for rule in RULES]
    assert len(set(found)) == len(found)
    assert all(re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", name) for name in found)
    assert all(rule.source and rule.hints for rule in RULES)


def test_hints_are_in_the_case_in_which_they_are_looked_for():
    folded = [hint for rule in RULES if rule.folds_case for hint in rule.hints]
    assert all(hint == hint.lower() for hint in folded)
    assert all(("(?i" in rule.pattern or "(?mi" in rule.pattern) == rule.folds_case for rule in RULES)


BOUND = 16_384  # characters that one attempt may read at most before it is refused


def superlinear(pattern: str) -> str | None:
    """Say why `pattern` might take more than linear time, or return None where it cannot.

    An attempt at one position never backtracks into a repetition (each is exact, optional or possessive), so it reads
    at most its width; and an unbounded repetition is followed by nothing that could fail, so what it has read is hit.
    """
    return _inspect(_parser.parse(pattern, re.ASCII), may_grow=True)


def _cannot_fail(items: list) -> bool:
    return all(code in (op.POSSESSIVE_REPEAT, op.MAX_REPEAT) and argument[0] == 0 for code, argument in items)


def _inspect(tree, *, may_grow: bool) -> str | None:
    items = list(tree)
    for at, (code, argument) in enumerate(items):
        grows_here = may_grow and _cannot_fail(items[at + 1 :])
        if code is op.MIN_REPEAT:
            return "lazy"
        if code is op.MAX_REPEAT and argument[0] != argument[1] and argument[1] != 1:
            return "backtracks"
        if code is op.POSSESSIVE_REPEAT and argument[1] is op.MAXREPEAT and not grows_here:
            return "unbounded where the rest may fail"
        if code is op.POSSESSIVE_REPEAT and argument[1] is not op.MAXREPEAT and argument[1] > BOUND:
            return "bound too high"
        for inner, inner_may_grow in _parts(code, argument, grows_here):
            if (why := _inspect(inner, may_grow=inner_may_grow)) is not None:
                return why
    return None


def _parts(code, argument, grows_here: bool):
    if code in (op.MAX_REPEAT, op.POSSESSIVE_REPEAT):
        return [(argument[2], grows_here and argument[1] == 1)]
    if code is op.BRANCH:
        return [(branch, grows_here) for branch in argument[1]]
    if code is op.SUBPATTERN:
        return [(argument[3], grows_here)]
    if code in (op.ASSERT, op.ASSERT_NOT):
        return [(argument[1], False)]
    assert code in (op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY, op.AT, op.GROUPREF), code
    return []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_no_rule_can_take_more_than_linear_time(rule):
    assert superlinear(rule.pattern) is None
    assert superlinear(rule.value) is None
    width = _parser.parse(rule.pattern, re.ASCII).getwidth()
    assert width[0] > 0
    if rule.value or rule.admits or rule.measure:  # whatever may still be refused costs a constant
        assert width[1] <= BOUND


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(a|aa)*b", "a+b", "a*+b", "a.*?b", "(?:a++b)++", "(?=a++b)a", "a{1,99}b"]
)
def test_the_inspection_catches_what_it_is_for(pattern):
    assert superlinear(pattern) is not None


@settings(deadline=None)
@given(st.text(string.ascii_letters + "<>[]", min_size=25))
def test_a_value_refused_for_its_look_is_short(value):
    assert checks.guarded_value(value) == len(value)


# Check digits and numbering plans, against published examples


@pytest.mark.parametrize("number", ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117",
                                    "30569309025904", "3530111333300000", "2223003122003222", "4222222222222"])  # fmt: skip
def test_published_test_cards_are_cards(number):
    assert checks.card(number) == len(number)
    wrong = str((int(number[-1]) + 1) % 10)
    assert checks.card(number[:-1] + wrong) == 0


@pytest.mark.parametrize("iban", ["DE89370400440532013000", "GB29NWBK60161331926819", "FR1420041010050500013M02606",
                                  "NO9386011117947", "MT84MALT011000012345MTLCAST001S"])  # fmt: skip
def test_the_examples_of_the_iban_registry_are_ibans(iban):
    assert checks.iban(iban) == len(iban)
    assert checks.iban(_in_fours(iban) + " REST") == len(_in_fours(iban))
    assert checks.iban(iban[:-1]) == checks.iban(iban + "0") == 0


@settings(deadline=None)
@given(_digits(18), st.integers(0, 17))
def test_an_iban_with_one_digit_changed_is_none(bban, at):
    iban = _as_iban("DE", bban)
    changed = iban[: 4 + at] + str((int(iban[4 + at]) + 1) % 10) + iban[5 + at :]
    assert checks.iban(iban)
    assert not checks.iban(changed)
