r"""The rules as data: what is hidden, in which order, and the document that says what it looks like.

* A rule finds its `pattern`; `admits` may refuse the find; what follows it and matches `value` (without one: the find
  itself) is the candidate, and where groups are given the last one is; `measure` says how much of it is the secret.
* Linear time by construction. Nothing backtracks: every repetition is exact, optional or possessive. A repetition has
  a bound unless all that follows it may be empty; so a refusal costs a constant, and only what is hidden is long.
* Order matters: whole blocks, then what a *name* gives away, then what its *form* gives away, then personal data.
* `hints` are literals (lower case where the pattern ignores case). A text that holds none of them is neither
  searched nor is the pattern compiled: a process pays for the rules it meets.

Deliberately unknown here: placeholders, counting, and the own home directory, all in the package itself.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from commands.redaction import checks, names


class Rule(NamedTuple):
    """One kind of secret: its `name` stands in the placeholder and the counts, its `source` says who defines it."""

    name: str
    source: str
    hints: tuple[str, ...]
    pattern: str
    value: str = ""
    admits: Callable[[re.Match[str]], bool] | None = None
    measure: Callable[[str], int] | None = None

    @property
    def folds_case(self) -> bool:
        """Say whether the hints are to be looked for in lower case."""
        return self.pattern.startswith(("(?i", "(?mi"))


# Building blocks. ASCII throughout: beside a letter of another script a token is still a token.
_LEFT = r"(?<![A-Za-z0-9])"  # nothing glued to its left
_LONE = r"(?<![A-Za-z0-9_-])"
_RIGHT = r"(?![A-Za-z0-9_])"
_WORD = r"[A-Za-z0-9_-]"
_NUMBER = r"(?<![\w.])(?<!\w-)"  # a number that is not part of a digest, a version, a UUID or a fraction
_NUMBER_END = r"(?!\w)(?![.-]\d)"
# RFC 6531 lets every character beyond ASCII in: said by exclusion, since a set of all of them takes 13 ms to compile.
_MAILBOX = r"[^\x00-\x20\"#$%&'()*,/:;<=>?@\[\\\]^`{|}\x7f-\xa0]"
_LABEL = r"[^\x00-,./:-@\[-`{-\xa0]"

_SECRET_WORDS = ("token", "secret", "pass", "pwd", "key", "auth", "cred", "cookie", "jwt", "bearer", "otp", "connec")

# The end of a name that may mean a secret, up to and including what separates it from its value. In JSON within JSON
# quotes are escaped; in a URL within a URL so is `=`.
_NAME = (
    r"(?:(?:api|secret|private|access|account|encryption)[ _.-]?key|connection[ _-]?string|pass(?:word|wd|phrase|code)?"
    r"|pwd|secret|credential|token|auth|cookie|jwt|bearer|totp|otp|key)[\w.-]{0,48}+"
)
_ASSIGNS = r"\\{0,3}+[\"']?+\]?+[ \t]{0,8}+(?:=>|:=|={1,2}+|:|%3[AaDd])[ \t]{0,8}+"
_QUOTED = (
    r"\"((?:[^\"\\]|\\[\s\S])++)"
    r"|'((?:[^'\\]|\\[\s\S])++)"
    r"|\\{1,3}+[\"']((?:[^\"'\\]|\\(?![\"'\\]))++)"
)
# Unquoted: up to white space, a quote, or a separator that a further `name=` or nothing follows.
_PLAIN = r"((?:[^\s\"'&,;<\\]|\\(?![\"'])|[&,;](?!\s|\Z|[\w.%-]{1,64}+=)|<(?!/))++)"
_VALUE = f"{_QUOTED}|{_PLAIN}"
_NOT_AN_OPTION = r"(?!--?[a-z][a-z-]{0,40}+(?:[=\s\"']|\Z))"


def _name_before(found: re.Match[str]) -> str:
    """Return the whole name whose end was found (`aws_` before `secret_access_key`); a URL's user is no name."""
    start = found.start()
    reach = max(0, start - 64)
    while start > reach and (found.string[start - 1].isalnum() or found.string[start - 1] in "_.-"):
        start -= 1
    if found.string.endswith("://", 0, start):
        return ""
    return re.split(r"[\\\"'\]\s]*(?:=|:|%3)", found.string[start : found.end()], maxsplit=1)[0]


def _unmistakable(found: re.Match[str]) -> bool:
    return names.is_unmistakable(_name_before(found))


def _secret_name(found: re.Match[str]) -> bool:
    return names.means_secret(_name_before(found))


def _secret_option(found: re.Match[str]) -> bool:
    return names.means_secret(found[1])


def _not_in_url(found: re.Match[str]) -> bool:
    """Say whether the path found is one of a file system: `https://host/home/page` is none."""
    before = re.split(r"[\s\"'<>=,;]", found.string[max(0, found.start() - 256) : found.start()])[-1]
    return "://" not in before.replace("file://", "")


RULES: tuple[Rule, ...] = (
    # Whole blocks. One without an end (a truncated one) reaches to the end of the text: better too much than a key.
    Rule("private-key", "RFC 7468, RFC 4716, RFC 9580 6.2 (armour); cosign and OpenSSH use the same", ("PRIVATE KEY",),
         r"-{4,5}+ ?BEGIN (?:(?!PRIVATE)[A-Z0-9 ]){0,48}+PRIVATE KEY(?: BLOCK)?"
         r"(?:(?!---- ?-?END )[\s\S])*+(?:---- ?-?END [A-Z0-9 ]{0,64}+-{0,5}+)?+"),
    Rule("putty-private-key", "PuTTY manual, appendix C (PPK)", ("Private-Lines:",),
         r"Private-Lines: ?\d{1,4}+(?:[ \t]{0,4}+\r?\n[A-Za-z0-9+/=]{1,128}+)*+"),
    Rule("note-signer-key", "golang.org/x/mod/sumdb/note, PrivateKey", ("PRIVATE+KEY+",),
         r"PRIVATE\+KEY\+[^\s+]{1,255}+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]*+"),
    # What a name gives away.
    Rule("auth-header", "RFC 9110 11.6.2, RFC 6265 4.2", ("authorization", "cookie"),
         rf"(?i)(?:authorization|set-cookie|cookie){_ASSIGNS}",
         rf"(?i){_QUOTED}|((?:bearer|basic|token|bot|apikey|negotiate|ntlm)[ \t]{{1,4}}+[^\s\"',;]++)|([^\r\n\"']++)"),
    Rule("option-secret", "command lines within texts", _SECRET_WORDS,
         rf"(?i)(?<![\w-])--?([a-z][\w.-]{{0,63}}+)\\?+[\"']?+(?:=|,?[ \t]{{1,4}}+{_NOT_AN_OPTION})",
         _VALUE, _secret_option),
    Rule("secret-line", "YAML 1.2.2, 7.3.3: a plain scalar holds spaces", _SECRET_WORDS,
         rf"(?mi)^[ \t>#*-]{{0,32}}+(?:(?!{_NAME})[\w.-]){{0,48}}+{_NAME}[\"']?+[ \t]{{0,4}}+:[ \t]{{1,8}}+"
         r"(?:[|>][+-]?[ \t]{0,4}+\r?\n[ \t]{0,32}+)?+",
         r"(?![\"'\[{&*!])([^\r\n]++)", _unmistakable, checks.set_value),
    Rule("secret-assignment", "names of variables and fields", _SECRET_WORDS,
         rf"(?i){_NAME}{_ASSIGNS}", _VALUE, _unmistakable, checks.set_value),
    Rule("token-assignment", "names of variables and fields", _SECRET_WORDS,
         rf"(?i){_NAME}{_ASSIGNS}", _VALUE, _secret_name, checks.guarded_value),
    Rule("xml-secret", "Maven settings.xml and its like", ("<pass", "<secret", "<token", "<apikey", "<api_key"),
         r"(?i)<(?:password|passphrase|secret|token|api_?key)>", r"([^<]++)"),
    Rule("netrc-password", "GNU inetutils manual, the .netrc file", ("password",),
         r"(?i)\b(?:login|account)\s{1,8}+[^\s]{1,256}+\s{1,8}+password\s{1,8}+", r"([^\s]++)"),
    Rule("login-option", "curl manual, --user", ("-u", "--user", "--proxy-user"),
         r"(?<!\S)(?:-u|--user|--proxy-user)(?:=|[ \t]{1,4}+)[\"']?+([^\s:\"']{1,128}+:[^\s\"']{1,256}+)",
         measure=checks.login),
    Rule("url-userinfo", "RFC 3986, 3.2.1", ("://",),
         r"://((?:[^\s/?#@\"'<>\\]{0,2048}+@){1,4}+)(?!sha(?:1|256|384|512):)", measure=checks.userinfo),
    Rule("url-password", "RFC 3986, 3.2.1, the slash not escaped as it should be", ("://",),
         r"://([^\s/?#@:\"'<>\\]{1,64}+:(?!\d{1,5}+[/?])[^\s@\"'<>\\]{1,256}+)@"),
    Rule("signed-url", "AWS SigV4 query, GCS signed URL, Azure SAS, CloudFront signed URL", ("=",),
         r"(?i)(?:[?&;]|%26)(?:x-amz-(?:signature|security-token|credential)|x-goog-(?:signature|credential)"
         r"|sig|signature|policy|key-pair-id|awsaccesskeyid|googleaccessid)=", r"([^\s&\"'<>#]++)"),
    Rule("bearer-token", "RFC 6750, 2.1", ("bearer",), r"(?i)(?<![a-z0-9])bearer[ \t]{1,4}+",
         r"((?=[A-Za-z._~+/-]{0,64}+\d)[\w.~+/=-]{8,}+|[\w.~+/=-]{20,}+)"),
    Rule("basic-credentials", "RFC 7617, 2", ("basic",),
         r"(?i)(?<![a-z0-9])basic[ \t]{1,4}+([a-z0-9+/]{8,4096}+)={0,2}+", measure=checks.basic_credentials),
    # Paths that name a person. The own home comes just before, built by the package.
    Rule("home-of-another", "Filesystem Hierarchy Standard 3.0, 3.8; macOS; Windows known folders", ("/home/", "Users"),
         r"(?:[A-Za-z]:[\\/]{1,2}+Users[\\/]{1,2}+(?!(?:Public|Default|All Users)(?![\w-]))"
         r"(?:[^\\/:*?\"<>|\r\n]{1,64}+(?=\\)|[^\s\\/:*?\"'<>|,;)]{1,64}+)"
         r"|/(?:home|Users)/(?!Shared(?![\w-]))[^\s\\/:\"'<>|,;()\[\]{}?#&=*`$]{1,255}+)", admits=_not_in_url),
    # Clouds.
    Rule("aws-access-key", "AWS IAM user guide, unique identifiers", ("AKIA", "ASIA", "ABIA", "ACCA"),
         rf"{_LEFT}(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{{16}}(?![A-Za-z0-9])"
         r"(?:[\s\"':,;|/]{1,3}+[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=]))?+"),
    Rule("aws-bedrock-key", "AWS Bedrock user guide, API keys", ("ABSKQmVkcm9jaw", "bedrock-api-key-"),
         rf"{_LEFT}(?:ABSKQmVkcm9jaw|bedrock-api-key-)[A-Za-z0-9+/=]{{20,}}+"),
    Rule("gcp-api-key", "Google Cloud, API keys", ("AIza",), rf"{_LEFT}AIza{_WORD}{{35,}}+"),
    Rule("google-oauth", "Google identity, OAuth 2.0", ("ya29.", "GOCSPX-", "1//0"),
         rf"{_LEFT}(?:ya29\.(?:{_WORD}|\.){{20,}}+|GOCSPX-{_WORD}{{20,}}+|1//0{_WORD}{{30,}}+)"),
    Rule("azure-client-secret", "Microsoft Entra application secrets", ("Q~",),
         r"(?<![A-Za-z0-9_.~-])[A-Za-z0-9_.~-]{3}\dQ~[A-Za-z0-9_.~-]{31,}+"),
    Rule("azure-key", "Microsoft common annotated security keys", ("JQQJ9", "AZDO"),
         rf"{_LEFT}[A-Za-z0-9]{{52}}(?:JQQJ9|[A-Za-z0-9]{{24}}AZDO)[A-Za-z0-9+/=]{{4,}}+"),
    Rule("digitalocean-token", "DigitalOcean API, tokens", ("_v1_",), rf"{_LEFT}do[oprt]_v1_[a-f0-9]{{40,}}+"),
    Rule("cloudflare-token", "Cloudflare fundamentals, token formats", ("cfk_", "cfut_", "cfat_", "v1.0-"),
         rf"{_LEFT}(?:cf(?:k|ut|at)_[A-Za-z0-9]{{40,}}+|v1\.0-[a-f0-9]{{24}}-[a-f0-9]{{100,}}+)"),
    Rule("alibaba-access-key", "Alibaba Cloud RAM, AccessKey", ("LTAI",), rf"{_LEFT}LTAI[A-Za-z0-9]{{12,}}+"),
    Rule("vault-token", "HashiCorp Vault, token prefixes", ("hvs.", "hvb.", "hvr."),
         rf"{_LEFT}hv[sbr]\.{_WORD}{{20,}}+"),
    Rule("terraform-token", "HCP Terraform, API tokens", (".atlasv1.",),
         rf"{_LEFT}[A-Za-z0-9]{{14}}\.atlasv1\.{_WORD}{{40,}}+"),
    Rule("databricks-token", "Databricks, personal access tokens", ("dapi",),
         rf"{_LEFT}dapi[a-f0-9]{{32}}(?:-\d)?+{_RIGHT}"),
    Rule("platform-token", "prefixes registered for secret scanning: Doppler, Fly, Grafana, Heroku, Linear, Netlify, "
         "New Relic, Notion, PlanetScale, Postman, Pulumi, Sentry, Shopify, Supabase, Tailscale, 1Password",
         ("dp.", "fm", "fo1_", "gl", "HRKU-", "lin_", "nfp_", "NRAK-", "ntn_", "ops_", "pscale_", "PMAK-", "pul-",
          "sntry", "shp", "sbp_", "tskey-"),
         rf"{_LEFT}(?:dp\.(?:pt|st|ct|sa|scim|audit)\.|fm[12][ar]?_|fo1_|glsa_|glc_|HRKU-|lin_api_|lin_oauth_|nfp_|NRAK-"
         rf"|ntn_|ops_eyJ|pscale_(?:tkn|oauth|pw)_|PMAK-|pul-|sntry[su]_|shp(?:at|ca|pa|ss)_|sbp_|tskey-)"
         rf"(?=[A-Za-z_-]{{0,60}}+\d)[A-Za-z0-9_.+/=-]{{20,}}+"),
    # Git hosting.
    Rule("github-token", "GitHub, token formats; installation tokens hold a JWT since 2026",
         ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
         rf"{_LEFT}gh[opusr]_(?:\w|[.-](?=\w)){{30,}}+"),
    Rule("github-pat", "GitHub, token formats", ("github_pat_",), rf"{_LEFT}github_pat_\w{{20,}}+"),
    Rule("gitlab-token", "GitLab, token prefixes", ("gl", "GR1348941"),
         rf"{_LEFT}(?:gl(?:pat|ptt|dt|rt|rtr|cbt|ft|imt|agent|oas|soat|ffct|wt)-|GR1348941)(?:[\w-]|\.(?=\w)){{20,}}+"),
    Rule("atlassian-token", "Atlassian, API tokens; Bitbucket app passwords", ("ATATT", "ATCTT", "ATBB"),
         rf"{_LEFT}(?:ATATT3|ATCTT3|ATBB)[A-Za-z0-9_=-]{{20,}}+"),
    # Chat.
    Rule("slack-token", "Slack, token types", ("xox", "xapp-", "xwfp-"),
         rf"{_LEFT}(?:xoxe\.)?+(?:xox[a-z]|xapp|xwfp)-[A-Za-z0-9-]{{10,}}+"),
    Rule("slack-webhook", "Slack, incoming webhooks", ("hooks.slack",),
         r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_-]{20,}+)"),
    Rule("discord-token", "Discord reference: base64 of the decimal id, a time, an HMAC",
         ("MD", "MT", "Mj", "Mz", "ND", "NT", "Nj", "Nz", "OD", "OT"),
         rf"{_LONE}(?:[MN][DTjz]|O[DT])[A-Za-z0-9]{{20,30}}+\.{_WORD}{{6}}\.{_WORD}{{27,}}+"),
    Rule("chat-webhook", "Discord, webhook resource; Microsoft Teams, incoming webhooks", ("webhook",),
         r"(?:discord(?:app)?\.com/api/(?:v\d{1,2}+/)?webhooks|webhook\.office\.com/webhookb2)/([^\s\"'<>?#]{20,}+)"),
    Rule("telegram-token", "Telegram Bot API, authorizing your bot", (":AA",),
         rf"(?:(?<![A-Za-z0-9])|(?<=bot))\d{{8,10}}+:AA{_WORD}{{32,}}+"),
    # Model hubs and AI vendors.
    Rule("huggingface-token", "Hugging Face Hub, access tokens", ("hf_", "api_org_"),
         rf"{_LEFT}(?:hf|api_org)_[A-Za-z0-9]{{30,}}+"),
    Rule("anthropic-key", "Anthropic API, keys", ("sk-ant-",), rf"{_LEFT}sk-ant-{_WORD}{{16,}}+"),
    Rule("sk-key", "OpenAI API, keys; the same form at DeepSeek, OpenRouter, Langfuse", ("sk-",),
         rf"{_LONE}sk-(?=[A-Za-z_-]{{0,64}}+\d){_WORD}{{20,}}+"),
    Rule("openai-session", "OpenAI API, session keys", ("sess-",), rf"{_LONE}sess-[A-Za-z0-9]{{40}}(?![A-Za-z0-9])"),
    Rule("wandb-key", "Weights & Biases, API keys since 2025; older ones are bare hex and known by name only",
         ("wandb_v",), rf"{_LEFT}wandb_v\d_{_WORD}{{20,}}+"),
    Rule("kaggle-token", "Kaggle API, access tokens", ("KGAT_",), rf"{_LEFT}KGAT_[A-Za-z0-9]{{20,}}+"),
    Rule("ai-vendor-key", "prefixes registered for secret scanning: Cerebras, Fireworks, Groq, Jina, LangSmith, "
         "NVIDIA, Perplexity, Pinecone, Replicate, Tavily, Together, xAI",
         ("csk-", "fw_", "gsk_", "jina_", "lsv2_", "nvapi-", "pplx-", "pcsk_", "r8_", "tvly-", "tgp_v1_", "xai-"),
         rf"{_LEFT}(?:csk-|fw_|gsk_|jina_|lsv2_(?:pt|sk)_|nvapi-|pplx-|pcsk_|r8_|tvly-|tgp_v1_|xai-)"
         rf"(?=[A-Za-z_-]{{0,64}}+\d){_WORD}{{20,}}+"),
    # Package registries and other services.
    Rule("pypi-token", "PyPI, API tokens: a macaroon, version 2", ("pypi-AgE",), rf"{_LEFT}pypi-AgE{_WORD}{{40,}}+"),
    Rule("npm-token", "npm, token format", ("npm_",), rf"{_LEFT}npm_[A-Za-z0-9]{{36,}}+"),
    Rule("registry-token", "crates.io, Docker Hub, NuGet, RubyGems", ("cio", "dckr_", "oy2", "rubygems_"),
         rf"{_LEFT}(?:cio[A-Za-z0-9]{{32}}(?![A-Za-z0-9])|dckr_[po]at_{_WORD}{{20,}}+|oy2[a-z0-9]{{43}}(?![A-Za-z0-9])"
         r"|rubygems_[a-f0-9]{48,}+)"),
    Rule("stripe-key", "Stripe, API keys and webhook signatures", ("k_live_", "k_test_", "whsec_"),
         rf"{_LEFT}(?:[sr]k_(?:live|test)_[A-Za-z0-9]{{10,}}+|whsec_[A-Za-z0-9+/=]{{24,}}+)"),
    Rule("sendgrid-key", "Twilio SendGrid, API keys", ("SG.",), rf"{_LEFT}SG\.{_WORD}{{16,64}}+\.{_WORD}{{16,}}+"),
    Rule("twilio-key", "Twilio, SIDs of accounts and API keys", ("SK", "AC"),
         rf"{_LEFT}(?:SK|AC)[a-f0-9]{{32}}(?![A-Za-z0-9])"),
    Rule("mail-key", "Mailgun, Mailchimp", ("key-", "-us"),
         rf"{_LEFT}(?:key-[a-f0-9]{{32}}|[a-f0-9]{{32}}-us\d{{1,2}}+)(?![A-Za-z0-9])"),
    Rule("jwt", "RFC 7519, RFC 7515 3.1, RFC 7516 3.1", ("eyJ",),
         rf"{_LONE}eyJ{_WORD}{{8,4096}}+\.(?=\.|{_WORD}{{8}}){_WORD}*+(?:\.{_WORD}*+)?+(?:\.{_WORD}*+)?+(?:\.{_WORD}*+)?+"),
    Rule("age-secret-key", "C2SP age, X25519 and hybrid identities (Bech32)", ("age-secret-key-",),
         r"(?i)age-secret-key-(?:pq-)?1[a-z0-9]{20,}+"),
    # Personal data.
    Rule("email", "RFC 5321 4.1.2, RFC 6531", ("@", "%40"),
         rf"(?<!{_MAILBOX}){_MAILBOX}{{1,256}}+(?:@|%40){_LABEL}{{1,63}}+(?:\.{_LABEL}{{1,63}}+){{1,8}}+",
         measure=checks.email),
    Rule("iban", "ISO 13616-1, SWIFT IBAN registry", tuple("0123456789"),
         rf"{_LEFT}[A-Z]{{2}}\d\d(?: ?[A-Z0-9]){{11,32}}+", measure=checks.iban),
    Rule("payment-card", "ISO/IEC 7812-1", tuple("0123456789"),
         rf"{_NUMBER}(\d{{13,19}}+|\d{{4}}([ -])\d{{4}}\2\d{{4}}\2\d{{1,7}}+|\d{{4}}([ -])\d{{6}}\3\d{{4,5}}+)"
         rf"{_NUMBER_END}", measure=checks.card),
    Rule("us-ssn", "20 CFR 422.103; SSA: no area 000, 666 or 9xx, no group 00, no serial 0000", ("-",),
         rf"{_NUMBER}(?!000|666|9)\d{{3}}-(?!00)\d\d-(?!0000)\d{{4}}{_NUMBER_END}"),
    Rule("us-ssn-labelled", "as us-ssn, written without dashes behind its name", ("ssn", "social security"),
         r"(?i)(?:(?<![a-z0-9])ssn|social security(?: number| no\.?+)?)[\"']?+[ \t:=#]{1,4}+[\"']?+"
         r"((?!000|666|9)\d{3}[ -]?(?!00)\d\d[ -]?(?!0000)\d{4})(?!\w)"),
    Rule("phone-labelled", "any notation behind its name", ("phone", "tel", "mobile", "fax", "whatsapp"),
         r"(?i)(?<![a-z0-9])(?:phone|telephone|tel|mobile|fax|whatsapp)(?![a-z0-9])[^\w\r\n+(]{1,6}+"
         r"(\+?\(?\d(?:[ ()./-]{0,2}+\d){6,14}+)"),
    Rule("phone-international", "ITU-T E.164, E.123", ("+",),
         r"(?<![\w.+])\+\d(?:[ ().-]{0,3}+\d){7,20}+", measure=checks.phone_international),
    Rule("phone-us", "NANP numbering plan, NXX-NXX-XXXX", ("-", ".", ")"),
         rf"{_NUMBER}(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])[2-9]\d\d[ .-]\d{{4}}{_NUMBER_END}",
         measure=checks.phone_national),
    Rule("phone-european", "ITU-T E.123, national notation with trunk prefix 0", ("0",),
         rf"{_NUMBER}(?<!\d{{4}} )(?:0[1-9]([ .])\d\d(?:\1\d\d){{3}}|0[1-9]\d{{1,3}}+ \d{{3,4}}+ \d{{3,4}}+"
         rf"|\(0\d{{2,4}}+\) ?\d{{3,4}}+[ -]?\d{{3,5}}+|0[1-9]\d{{1,3}}+-\d{{6,8}}+){_NUMBER_END}(?! \d{{4}}(?!\d))",
         measure=checks.phone_european),
)  # fmt: skip
