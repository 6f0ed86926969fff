"""Signatures: those that AWS publishes, and those that its own client makes."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials

from waystone_asgi.pieces import Body, Pieces
from waystone_asgi.providers.bedrock.signing import Credentials, Signer, Unsigned
from waystone_asgi.records import Secret

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
EXAMPLE = Credentials(access_key_id="AKIDEXAMPLE", secret_access_key=Secret(SECRET))
TOKEN = Secret("6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267")
LENT = Credentials(
    access_key_id="AKIDEXAMPLE", secret_access_key=Secret(SECRET), session_token=TOKEN
)
TIME = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
Header = tuple[bytes, bytes]


def published(
    method: str, path: str = "/", *headers: Header, body: Body = b"", lent: bool = False
) -> tuple[Unsigned, Credentials]:
    request = Unsigned(
        method=method, host="example.amazonaws.com", path=path, headers=headers, body=body
    )
    return request, LENT if lent else EXAMPLE


@pytest.mark.parametrize(
    ("case", "signature"),
    [
        (published("GET"), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (published("POST"), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            published("GET", "/ሴ"),
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
        ),
        (
            published("GET", "/example space/"),
            "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
        ),
        (
            published("GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
        (
            published("GET", "//"),
            "c88bcd3d312d75078c0cd961d6deae3f4c754924b01669efcfcb439fd5e5b76e",
        ),
        (
            published(
                "GET",
                "/",
                (b"My-Header1", b"value2"),
                (b"My-Header1", b"value2"),
                (b"My-Header1", b"value1"),
            ),
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        ),
        (
            published("GET", "/", (b"My-Header1", b" value1"), (b"My-Header2", b' "a   b   c"')),
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            published("POST", "/", (b"My-Header1", b"VALUE1")),
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
        (
            published("GET", lent=True),
            "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
        ),
    ],
    ids=[
        "get-vanilla",
        "post-vanilla",
        "get-utf8",
        "get-space-unnormalized",
        "get-unreserved",
        "get-slash-unnormalized",
        "get-header-key-duplicate",
        "get-header-value-trim",
        "post-header-value-case",
        "get-vanilla-with-session-token",
    ],
)
def test_signatures_are_those_of_the_published_suite(
    case: tuple[Unsigned, Credentials], signature: str
) -> None:
    request, credentials = case
    added = dict(Signer(credentials, region="us-east-1", service="service").sign(request, TIME))
    assert added[b"x-amz-date"] == b"20150830T123600Z"
    assert added[b"authorization"].endswith(b"Signature=" + signature.encode())


def theirs(request: Unsigned, credentials: Credentials) -> dict[str, str]:
    """The headers that botocore adds to the same request."""
    token = credentials.session_token
    key = TheirCredentials(
        credentials.access_key_id, credentials.secret_access_key.reveal(), token and token.reveal()
    )
    sent = AWSRequest(
        method=request.method,
        url=f"https://{request.host}{request.path}",
        data=bytes(request.body),
        headers={name.decode(): value.decode() for name, value in request.headers},
    )
    given = {name.lower() for name in sent.headers}
    auth.SigV4Auth(key, "bedrock", "eu-west-1").add_auth(sent)
    return {k.lower(): v for k, v in sent.headers.items() if k.lower() not in given}


ARN = "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.anthropic.claude-sonnet-4-v1:0"
HEADERS = (
    (b"content-type", b"application/json"),
    (b"accept", b"application/vnd.amazon.eventstream"),
    (b"x-amzn-bedrock-trace", b"  two   spaces "),
    (b"user-agent", b"waystone-asgi"),
    (b"Host", b"elsewhere"),
    (b"authorization", b"Bearer of another"),
    (b"x-amzn-trace-id", b"Root=1"),
    (b"transfer-encoding", b"chunked"),
)


@pytest.mark.parametrize("credentials", [EXAMPLE, LENT], ids=["own", "lent"])
@pytest.mark.parametrize("model", ["amazon.nova-lite-v1:0", ARN, "a b+c~d_é"])
@pytest.mark.parametrize("body", [b"", b'{"messages":[]}', Pieces(b'{"messages"', b":[]}")])
def test_signatures_are_those_of_the_official_client(
    credentials: Credentials, model: str, body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_800_000_000.9
    monkeypatch.setattr(auth, "get_current_datetime", lambda: datetime.fromtimestamp(now, UTC))
    host = "bedrock-runtime.eu-west-1.amazonaws.com"
    path = f"/model/{quote(model, safe='')}/converse-stream"
    kept = tuple(header for header in HEADERS if header[0] not in (b"Host", b"authorization"))
    expected = theirs(Unsigned(host=host, path=path, body=body, headers=kept), credentials)
    signer = Signer(credentials, region="eu-west-1")
    request = Unsigned(host=host, path=path, body=body, headers=HEADERS)
    added = {k.decode(): v.decode() for k, v in signer.sign(request, now)}
    assert added == expected


def test_the_key_of_a_day_is_derived_once_for_it() -> None:
    signer = Signer(EXAMPLE, region="us-east-1")
    request = Unsigned(host="localhost:8080", path="/model/m/converse", body=b"{}")
    days = [TIME, TIME + 1, TIME + 86400, TIME]
    assert [signer.sign(request, day) for day in days] == [
        Signer(EXAMPLE, region="us-east-1").sign(request, day) for day in days
    ]
    assert len({signer.sign(request, day) for day in days}) == 3


def test_secrets_are_not_shown() -> None:
    shown = repr(LENT) + repr(Signer(LENT, region="us-east-1"))
    assert SECRET not in shown
    assert TOKEN.reveal() not in shown
