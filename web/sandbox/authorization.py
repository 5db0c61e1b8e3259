"""The authorize request: its query string, checked as Google checks it before it shows a page or redirects."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from web.sandbox.scopes import is_known

_PROMPTS = frozenset({"none", "consent", "select_account"})
_CHALLENGE_METHODS = frozenset({"plain", "S256"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(slots=True, eq=False)
class AuthorizePageError(Exception):
    """What Google shows on a page of its own; the browser does not come back to the client."""

    code: int
    error: str
    detail: str


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A checked authorize request; `query` is its query string as it came."""

    query: str
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str
    offline: bool
    prompts: frozenset[str]
    login_hint: str
    code_challenge: str
    code_challenge_method: str
    nonce: str

    def redirect(self, **answer: str) -> str:
        """The redirect URI with the answer and the state, which is given back unchanged, in its query."""
        parts = urlsplit(self.redirect_uri)
        state = {"state": self.state} if self.state else {}
        query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *state.items(), *answer.items()])
        return urlunsplit(parts._replace(query=query))


def parse_authorization(query: str, client_id: str, redirect_uris: tuple[str, ...]) -> AuthorizationRequest:
    """Check an authorize request against the registered client; raises AuthorizePageError.

    Without registered redirect URIs any address of this machine will do.
    """
    params = dict(parse_qsl(query, keep_blank_values=True))
    for name in ("client_id", "redirect_uri", "response_type", "scope"):
        if not params.get(name):
            raise AuthorizePageError(400, "invalid_request", f"Required parameter is missing: {name}")
    if params["client_id"] != client_id:
        raise AuthorizePageError(401, "invalid_client", "The OAuth client was not found.")
    if not _is_registered(params["redirect_uri"], redirect_uris):
        raise AuthorizePageError(400, "redirect_uri_mismatch", f"redirect_uri={params['redirect_uri']}")
    if params["response_type"] != "code":
        raise AuthorizePageError(400, "unsupported_response_type", f"Invalid response_type: {params['response_type']}")
    scopes = tuple(dict.fromkeys(params["scope"].split()))
    if unknown := [scope for scope in scopes if not is_known(scope)]:
        raise AuthorizePageError(400, "invalid_scope", f"Some requested scopes were invalid: {' '.join(unknown)}")
    prompts = _parse_prompts(params)
    method = params.get("code_challenge_method", "plain")
    if params.get("access_type", "online") not in {"online", "offline"}:
        raise AuthorizePageError(400, "invalid_request", f"Invalid access_type: {params['access_type']}")
    if method not in _CHALLENGE_METHODS or ("code_challenge_method" in params and not params.get("code_challenge")):
        raise AuthorizePageError(400, "invalid_request", "Invalid code_challenge or code_challenge_method")
    return AuthorizationRequest(
        query=query,
        redirect_uri=params["redirect_uri"],
        scopes=scopes,
        state=params.get("state", ""),
        offline=params.get("access_type") == "offline",
        prompts=prompts,
        login_hint=params.get("login_hint", ""),
        code_challenge=params.get("code_challenge", ""),
        code_challenge_method=method,
        nonce=params.get("nonce", ""),
    )


def _parse_prompts(params: Mapping[str, str]) -> frozenset[str]:
    prompts = frozenset(params.get("prompt", "").split())
    if not prompts <= _PROMPTS or ("none" in prompts and len(prompts) > 1):
        raise AuthorizePageError(400, "invalid_request", f"Invalid parameter value for prompt: {params['prompt']}")
    return prompts


def _is_registered(redirect_uri: str, registered: tuple[str, ...]) -> bool:
    if registered:
        return redirect_uri in registered
    parts = urlsplit(redirect_uri)
    return parts.scheme in {"http", "https"} and parts.hostname in _LOOPBACK and not parts.fragment
