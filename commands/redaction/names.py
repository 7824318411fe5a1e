"""Which names mean that their value is a secret.

* A name is read as words (`hfToken`, `HF_TOKEN`, `hf-token` are all *hf token*) and judged by how it ends:
  `token` is a secret, `token-count` a number, `token-file` a path, `tokenizer` a word of its own.
* In machine learning a token is mostly a piece of text: `eos_token` and its kin are no secrets, nor is any plural.
* An *unmistakable* name (password, secret, API key) hides any value; the others hide, in running text,
  only a value that could be a secret, since "unexpected token: }" is an error message.

Nothing here looks at values; `rules` does.
"""

import re

# `APIKey2` -> API Key 2. The sets below are lower case.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

# What may follow without changing what the value is: `PASSWORD_OLD`, `SECRET_KEY_BASE`, `token2`.
_TRAILING = frozenset(("b", "base", "dev", "new", "old", "prod", "production", "staging", "test", "val", "value"))

_UNMISTAKABLE = frozenset(("credential", "credentials", "otp", "passcode", "pwd", "secrets", "totp"))
_UNMISTAKABLE_ENDS = ("apikey", "passphrase", "passwd", "password", "privatekey", "secret", "secretkey")

_GUARDED = frozenset(("auth", "authorization", "bearer", "cookie", "cookies", "jwt", "pass"))

# A bare `key` is a name, an index or a public key; these make it a secret. Vendors name theirs OPENAI_KEY.
_KEYS = frozenset(
    """access account admin aes api app application auth client consumer decryption deploy encryption hmac license
    master private secret service session shared signing sign ssh storage subscription webhook
    ai anthropic aws azure claude cohere deepseek gcp gemini google groq hf huggingface kaggle mistral nvidia openai
    openrouter replicate sendgrid stripe together twilio wandb xai""".split()  # noqa: SIM905 - a column of words reads better than quotes
)
_TEXT_TOKENS = frozenset(
    """added additional audio bad begin bos boundary byte class cls control decoder delimiter each end eof eom eos eot
    extra fim first forced id image init initializer instance instruction last learned mask middle negative newline
    next no non num pad per placeholder prefix prompt reserved response sentinel sep separator space special speech
    start stop sub suffix think thinking tool trigger unk unknown video vision word""".split()  # noqa: SIM905 - as above
)

# Headers (RFC 9110) that say nothing about who is asking; any other header given on a command line is hidden.
_HARMLESS_HEADERS = frozenset(
    """accept accept-charset accept-encoding accept-language cache-control connection content-encoding content-length
    content-type date expect host if-modified-since if-none-match origin range te user-agent""".split()  # noqa: SIM905 - as above
)
_HEADER_OPTIONS = frozenset(("-H", "--header", "--headers", "--proxy-header"))
_LOGIN_OPTIONS = frozenset(("-u", "--user", "--proxy-user"))

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]++:")  # RFC 9110, 5.6.2: a field name is a token
_LOGIN = re.compile(r"[^\s:\[\]]++:(?![0-9]++\Z)[\s\S]")  # behind a number stands a container's gid
_OPTION_NAME = re.compile(r"--?[A-Za-z][\w.-]{0,127}+", re.ASCII)
# A random secret is not all lower-case letters and dashes behind a dash; an option is.
_OPTION = re.compile(r"--?[a-z][a-z-]{0,40}+(?:=|\Z)")


def _words(name: str) -> list[str]:
    found = [word.lower() for word in _WORD.findall(name[-128:])]
    while len(found) > 1 and (found[-1].isdigit() or found[-1] in _TRAILING):
        found.pop()
    return found


def is_unmistakable(name: str) -> bool:
    """Say whether whatever stands under `name` is a secret, however short."""
    words = _words(name)
    if not words:
        return False
    before, last = words[-2] if len(words) > 1 else "", words[-1]
    return (
        last in _UNMISTAKABLE
        or last.endswith(_UNMISTAKABLE_ENDS)
        or (last == "key" and before in _KEYS)
        or (before == "connection" and last == "string")
    )


def means_secret(name: str) -> bool:
    """Say whether `name` (an option without its dashes, a variable, a field, a header) promises a secret."""
    if is_unmistakable(name):
        return True
    words = _words(name)
    if not words:
        return False
    before, last = words[-2] if len(words) > 1 else "", words[-1]
    return last in _GUARDED or (last.endswith("token") and before not in _TEXT_TOKENS)


def is_option(argument: str) -> bool:
    """Say whether `argument` is itself an option, so that it cannot be the value of the one before it."""
    return _OPTION.match(argument) is not None


def names_option(argument: str) -> bool:
    """Say whether `argument` is the whole name of an option, in any spelling."""
    return _OPTION_NAME.fullmatch(argument) is not None


def takes_header(option: str) -> bool:
    """Say whether `option` is curl's way of passing a header."""
    return option in _HEADER_OPTIONS


def takes_login(option: str) -> bool:
    """Say whether `option` is curl's way of passing `user:password`."""
    return option in _LOGIN_OPTIONS


def tells_header(value: str) -> bool:
    """Say whether `value` is a header and may say who is asking."""
    return _HEADER.match(value) is not None and value.partition(":")[0].lower() not in _HARMLESS_HEADERS


def tells_login(value: str) -> bool:
    """Say whether `value` is `user:password`."""
    return _LOGIN.match(value) is not None
