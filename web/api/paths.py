"""Where things are."""

from web.return_to import PAGE

__all__ = ["API", "DESCRIPTION", "PAGE"]

API = "/api/v1/integrations/google-calendar"
"""The prefix of the user's connection."""

DESCRIPTION = "/api/v1/openapi.json"
"""The description of the API."""
