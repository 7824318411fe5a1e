"""Check digits and numbering plans: what tells a card from a byte count.

* Every function takes a candidate and returns how many of its first characters are the secret; 0 means none are.
* Each is total, pure, and rejects nothing longer than it reads: a candidate comes from a bounded pattern.

What surrounds the candidate is the business of the patterns in `rules`.
"""

import binascii

# Payment networks: first and last issuer prefix (of the same length), and the lengths of their numbers. ISO/IEC 7812-1;
# prefixes as published by the networks. UATP (1...) is left out: times in milliseconds start with 1.
_ISSUERS = (
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),  # Mastercard
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),  # American Express
    ("6011", "6011", (16, 17, 18, 19)),  # Discover
    ("644", "649", (16, 17, 18, 19)),  # Discover
    ("65", "65", (16, 17, 18, 19)),  # Discover, RuPay
    ("300", "305", (14, 16)),  # Diners Club
    ("36", "36", (14, 16)),  # Diners Club
    ("38", "39", (14, 16)),  # Diners Club
    ("3528", "3589", (16, 17, 18, 19)),  # JCB
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
    ("81", "82", (16,)),  # RuPay
    ("2200", "2204", (16, 17, 18, 19)),  # Mir
    ("5018", "5018", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    ("5020", "5020", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    ("5038", "5038", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    ("56", "58", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    ("6304", "6304", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    ("6759", "6763", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
)

# Lengths of the SWIFT IBAN registry (ISO 13616).
_IBAN_LENGTHS = {
    country: length
    for length, countries in (
        (15, "NO"), (16, "BE"), (18, "DK FI FK FO GL NL SD"), (19, "MK SI"), (20, "AT BA EE KZ LT LU MN XK"),
        (21, "CH HR LI LV"), (22, "BG BH CR DE GB GE IE ME RS VA"), (23, "AE GI IL IQ OM SO TL"),
        (24, "AD CZ ES MD PK RO SA SE SK TN VG"), (25, "LY PT ST"), (26, "IS TR"), (27, "BI DJ FR GR IT MC MR SM"),
        (28, "AL AZ BY CY DO GT HN HU LB NI PL SV"), (29, "BR EG PS QA UA"), (30, "JO KW MU YE"), (31, "MT SC"),
        (32, "LC"), (33, "RU"),
    )
    for country in countries.split()
}  # fmt: skip

# Country codes in use (ITU-T E.164, list of assigned codes): how codes go on after their first digit or two.
_CODES = (
    ("", "17"), ("2", "07"), ("3", "0123469"), ("4", "013456789"), ("5", "12345678"), ("6", "0123456"), ("8", "1246"),
    ("9", "0123458"), ("21", "12368"), ("22", "0123456789"), ("23", "0123456789"), ("24", "0123456789"),
    ("25", "012345678"), ("26", "0123456789"), ("29", "01789"), ("35", "0123456789"), ("37", "012345678"),
    ("38", "01235679"), ("42", "013"), ("50", "0123456789"), ("59", "0123456789"), ("67", "023456789"),
    ("68", "012356789"), ("69", "012"), ("80", "08"), ("85", "02356"), ("87", "08"), ("88", "012368"),
    ("96", "012345678"), ("97", "012345679"), ("99", "234568"),
)  # fmt: skip
_COUNTRY_CODES = tuple(start + digit for start, digits in _CODES for digit in digits)
_E164_MAX, _E164_MIN, _E164_MIN_UNBROKEN, _NANP = 15, 9, 10, 11

# Endings that are no top-level domain but do follow an `@` in names of files and revisions (`model@v2.json`).
_FILE_ENDINGS = frozenset(
    """bin bz2 cfg cpp csv db gguf gz h5 html ini ipynb jpg json jsonl lock log onnx parquet pdf pkl png pt pth
    safetensors sql tar tgz toml tsv txt whl xml xz yaml yml""".split()  # noqa: SIM905 - a column of words reads better than quotes
)
_NOBODY = frozenset(("git", "hg", "svn", "anonymous"))  # logins of services, not of persons

_NO_VALUE = frozenset(("none", "null", "nil", "true", "false", "undefined"))
_GUARDED_SHORT, _GUARDED_LONG, _MARKUP_MAX, _NUMBER_MAX = 6, 16, 24, 12


def _digits(candidate: str) -> str:
    return "".join(filter(str.isdigit, candidate))


def luhn(digits: str) -> bool:
    """Say whether the check digit (ISO/IEC 7812-1 annex B) of `digits` holds."""
    doubled = (2 * int(digit) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0  # noqa: PLR2004 - the sum of two digits


def card(candidate: str) -> int:
    """Measure a payment card number: a network's prefix and length, and the Luhn digit."""
    digits = _digits(candidate)
    known = any(low <= digits[: len(low)] <= high and len(digits) in lengths for low, high, lengths in _ISSUERS)
    return len(candidate) if known and luhn(digits) else 0


def iban(candidate: str) -> int:
    """Measure an IBAN: its country's length, remainder 1 modulo 97 (ISO 13616, ISO 7064), nothing glued to it."""
    ends = [end for end, char in enumerate(candidate, 1) if char != " "]
    length = _IBAN_LENGTHS.get(candidate[:2], len(ends) + 1)
    if length > len(ends) or candidate[ends[length - 1] :][:1].strip():
        return 0
    text = candidate[: ends[length - 1]].replace(" ", "")
    return ends[length - 1] if int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1 else 0


def _nanp(national: str) -> bool:
    """Say whether ten digits are of the North American plan: NXX-NXX-XXXX, N from 2, neither part N11."""
    area, exchange = national[:3], national[3:6]
    return min(area[0], exchange[0]) >= "2" and area[1:] != "11" != exchange[1:]


def phone_national(candidate: str) -> int:
    """Measure a separated North American number, with or without its leading 1."""
    return len(candidate) if _nanp(_digits(candidate)[-10:]) else 0


def phone_international(candidate: str) -> int:
    """Measure `+` and a number of ITU-T E.164: an assigned country code, 15 digits at most, ending with a group."""
    digits = _digits(candidate)
    if not digits.startswith(_COUNTRY_CODES):
        return 0
    broken = not candidate[1:].isdigit()
    low, high = (_E164_MIN if broken else _E164_MIN_UNBROKEN), _E164_MAX
    if digits[0] == "1":
        low = high = _NANP
        if len(digits) < _NANP or not _nanp(digits[1:_NANP]):
            return 0
    count, end = 0, 0
    for index, char in enumerate(candidate, 1):
        count += char.isdigit()
        if low <= count <= high and char.isdigit() and not candidate[index : index + 1].isdigit():
            end = index
    return end


def phone_european(candidate: str) -> int:
    """Measure a national number that starts with 0; a number and a date (`0123-20240517`) is none."""
    tail = candidate.rpartition("-")[2]
    is_date = len(tail) == 8 and tail[:2] in {"19", "20"} and tail[4:6] <= "12" and tail[6:] <= "31"  # noqa: PLR2004 - YYYYMMDD
    return 0 if is_date else len(candidate)


def email(candidate: str) -> int:
    """Measure an address (RFC 5321): a domain with a label that can be a top-level one; no service's login."""
    local, _, domain = candidate.replace("%40", "@").rpartition("@")
    labels = domain.lower().split(".")[1:]
    if local.lower() in _NOBODY:
        return 0
    named = any(
        label.startswith("xn--") or (len(label) > 1 and label.isalpha() and label not in _FILE_ENDINGS)
        for label in labels
    )
    return len(candidate) if named else 0


def userinfo(candidate: str) -> int:
    """Measure what stands before the last `@` of a URL's authority (RFC 3986, 3.2.1)."""
    user = candidate.rstrip("@")
    return 0 if user.lower() in _NOBODY else len(user)


def basic_credentials(candidate: str) -> int:
    """Measure base64 of `user:password` (RFC 7617), so that *basic* may stay an adjective."""
    try:
        return len(candidate) if b":" in binascii.a2b_base64(candidate + "=" * (-len(candidate) % 4)) else 0
    except binascii.Error:
        return 0


def login(candidate: str) -> int:
    """Measure `user:password`; numbers are a container's uid and gid."""
    return 0 if candidate.replace(":", "").isdigit() else len(candidate)


def set_value(value: str) -> int:
    """Measure the value of an unmistakable name: anything that says something."""
    said = value.strip("{}[]()|>,.;").lower()
    return 0 if not said or said in _NO_VALUE else len(value)


def _is_number(value: str) -> bool:
    try:
        float(value.rstrip(",.;)}]").replace(",", ""))
    except ValueError:
        return False
    return True


def guarded_value(value: str) -> int:
    """Measure the value of a name that also has harmless uses: long, or with a digit yet no number."""
    if len(value) <= _MARKUP_MAX and value[:1] + value[-1:] in {"<>", "[]"}:
        return 0  # a special token of a tokenizer
    if len(value) <= _NUMBER_MAX and _is_number(value):
        return 0
    mixed = len(value) >= _GUARDED_SHORT and any(map(str.isdigit, value[:_GUARDED_LONG]))
    return len(value) if mixed or len(value) >= _GUARDED_LONG else 0
