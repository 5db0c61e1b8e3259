"""A local stand-in for Google: OAuth 2.0 and Calendar v3 over real HTTP, kept in memory, with faults on demand.

* `python -m web.sandbox` runs it; `server.SandboxServer` runs it as a child process.
* Google's logic, pure: `calendars` (with `events`, `bodies`, `listing`, `model`, `times`), `grants` (with
  `authorization`, `scopes`, `identity`), `quotas`, and the refusals in `errors`.
* Its own: `faults`, `journal`, `specs` (what it can be told), `state` (all of it behind one lock).
* HTTP: `app` routes to the `resources_*` and to `batch` (with `multipart`), which hands each call back to `app`;
  `middleware` records requests and strikes with faults; `serving` is gunicorn.

Tokens minted by `POST /sandbox/token` speak for the user himself: quotas, faults, expiry and counts pass them by.

Not there: push channels, free/busy, events.import and events.move, and the expansion of recurring
events, which are kept and listed as one.
"""
