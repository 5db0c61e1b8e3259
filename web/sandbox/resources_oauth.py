"""OAuth 2.0 over HTTP: the account chooser, the consent page, the token endpoint and revocation."""

import json
from urllib.parse import parse_qs

import falcon

from web.sandbox import scopes
from web.sandbox.arrival import arrival_of, basic_credentials
from web.sandbox.authorization import AuthorizationRequest, AuthorizePageError, parse_authorization
from web.sandbox.errors import OAuthError
from web.sandbox.pages import answer_page
from web.sandbox.state import Sandbox

AUTHORIZE_PATH = "/o/oauth2/v2/auth"
"""Where a client sends the browser; the pages below it post to `/account` and `/consent`."""


class Authorize:
    """The walk of a browser from the client's request to the redirect back. It keeps no state between pages."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the accounts, or go on with the one that is hinted at."""
        request = self._parse(req.query_string)
        with self._sandbox.lock:
            accounts = self._sandbox.calendars.accounts()
        hinted = request.login_hint in accounts and "select_account" not in request.prompts
        if "none" in request.prompts and not (hinted and not self._needs_consent(request, request.login_hint)):
            _redirect(resp, request.redirect(error="interaction_required"))
        elif hinted:
            self._chosen(resp, request, request.login_hint)
        else:
            answer_page(resp, "accounts.html", accounts=accounts, request=request)

    def on_post_account(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The account was chosen (`request`, `account`): ask for consent where it is needed."""
        form = arrival_of(req).form
        self._chosen(resp, self._parse(form.get("request", "")), self._account(form.get("account", "")))

    def on_post_consent(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The answer (`request`, `account`, `decision` allow or cancel, `scope` per ticked box): redirect back."""
        form = arrival_of(req).form
        request, account = self._parse(form.get("request", "")), self._account(form.get("account", ""))
        granted = request.scopes
        if scopes.shows_check_boxes(request.scopes):
            ticked = parse_qs(arrival_of(req).body.decode("utf-8", "replace")).get("scope", [])
            granted = tuple(scope for scope in request.scopes if scope in scopes.SIGN_IN or scope in ticked)
        if form.get("decision") != "allow" or not granted:
            _redirect(resp, request.redirect(error="access_denied"))
            return
        self._approve(resp, request, account, granted, consented=True)

    def _chosen(self, resp: falcon.Response, request: AuthorizationRequest, account: str) -> None:
        if not self._needs_consent(request, account):
            self._approve(resp, request, account, request.scopes, consented=False)
            return
        answer_page(
            resp,
            "consent.html",
            account=account,
            request=request,
            check_boxes=scopes.shows_check_boxes(request.scopes),
            choices=[(scope, scopes.DESCRIPTIONS[scope]) for scope in scopes.choosable(request.scopes)],
            client_id=self._sandbox.grants.client.id,
        )

    def _approve(
        self,
        resp: falcon.Response,
        request: AuthorizationRequest,
        account: str,
        granted: tuple[str, ...],
        *,
        consented: bool,
    ) -> None:
        with self._sandbox.lock:
            code = self._sandbox.grants.approve(request, account, granted, consented=consented)
        _redirect(resp, request.redirect(code=code, scope=" ".join(scopes.granted_names(granted))))

    def _parse(self, query: str) -> AuthorizationRequest:
        client = self._sandbox.grants.client
        return parse_authorization(query, client.id, client.redirect_uris)

    def _account(self, account: str) -> str:
        with self._sandbox.lock:
            if self._sandbox.calendars.has_account(account):
                return account
        raise AuthorizePageError(400, "invalid_request", "Couldn’t find your account")

    def _needs_consent(self, request: AuthorizationRequest, account: str) -> bool:
        with self._sandbox.lock:
            return self._sandbox.grants.needs_consent(request, account)


class Token:
    """POST /token"""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Exchange a code, or refresh."""
        arrival = arrival_of(req)
        if not arrival.is_form:
            raise OAuthError(400, "invalid_request", "The request must be a form.")
        with self._sandbox.lock:
            answer = self._sandbox.grants.token(arrival.form, basic_credentials(req))
        resp.content_type = "application/json; charset=utf-8"
        resp.set_header("Cache-Control", "no-store")
        resp.data = json.dumps(answer).encode()


class Revoke:
    """POST /revoke, the token in the form or in the query; anything but a POST is not found."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """End the whole grant of the token's account."""
        token = arrival_of(req).form.get("token") or req.get_param("token")
        if not token:
            raise OAuthError(400, "invalid_request", "Missing required parameter: token")
        with self._sandbox.lock:
            self._sandbox.grants.revoke(token)
        resp.content_type = "application/json; charset=utf-8"
        resp.data = b"{}"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:  # noqa: ARG002 - Falcon's form
        """Google has no such page."""
        raise falcon.HTTPNotFound


def answer_authorize_error(
    req: falcon.Request,  # noqa: ARG001 - Falcon's form
    resp: falcon.Response,
    error: AuthorizePageError,
    params: object,  # noqa: ARG001 - Falcon's form
) -> None:
    """The page Google shows instead of redirecting back."""
    answer_page(resp, "blocked.html", error.code, error=error)


def _redirect(resp: falcon.Response, location: str) -> None:
    resp.status = 302
    resp.set_header("Location", location)
    resp.set_header("Cache-Control", "no-store")
