"""Whose calendar it is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """An office user of a tenant, as the host app's token names them."""

    tenant_id: str
    user_id: str

    @property
    def key(self) -> dict[str, str]:
        """The user's key as statement parameters."""
        return {"tenant_id": self.tenant_id, "user_id": self.user_id}
