"""Logins for the schema's owner, the daemon and the web app: passwords for this machine, SQL for the administrator.

    python3 systemd/logins.py db.example.com:5432/platform | psql postgresql://admin@db.example.com/platform

A new password for each goes into its DATABASE_URL among the credentials, unless one is there already; what is printed
is SQL with nothing but their verifiers, which whoever administers the database runs. Needs no package.
"""

import base64
import hashlib
import hmac
import secrets
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

CREDENTIALS = Path("/etc/calendar-sync/credentials")

LOGINS = {
    "owner": ("calendar_sync_owner", CREDENTIALS / "migrate" / "DATABASE_URL"),
    "daemon": ("calendar_sync", CREDENTIALS / "DATABASE_URL"),
    "web": ("calendar_sync_web_app", CREDENTIALS / "web" / "DATABASE_URL"),
}
"""The variable of logins.sql, the login's name, and where its URL is kept."""

ROUNDS = 4096
"""Postgres's own."""


def verifier(password: str, salt: bytes) -> str:
    """What Postgres stores of a password (RFC 5803): it can be checked against it, and not found from it."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    stored = hashlib.sha256(client).digest()
    return f"SCRAM-SHA-256${ROUNDS}:{_text(salt)}${_text(stored)}:{_text(server)}"


def password_in(file: Path, login: str, database: str) -> str:
    """The password in the URL that the file holds; a new one, and the file with it, if there is none."""
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(f"postgresql://{login}:{secrets.token_urlsafe(24)}@{database}\n")
    return unquote(urlsplit(file.read_text().strip()).password or "")


def main() -> None:
    """Print the SQL."""
    if len(sys.argv) != 2 or "/" not in sys.argv[1]:
        sys.exit("usage: python3 logins.py HOST[:PORT]/DATABASE, for example: python3 logins.py 127.0.0.1/platform")
    for variable, (login, file) in LOGINS.items():
        password = password_in(file, login, sys.argv[1])
        print(f"\\set {variable} '{verifier(password, secrets.token_bytes(16))}'")
    print(Path(__file__).with_name("logins.sql").read_text())


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


if __name__ == "__main__":
    main()
