"""What administrators send and read about tokens."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field, model_validator


class RevokeIn(BaseModel, extra="forbid"):
    """One token by its `jti`, or every token of a client issued until now."""

    jti: str | None = Field(None, min_length=1, max_length=128)
    client_id: str | None = Field(None, min_length=1, max_length=63)
    reason: str = Field(min_length=2, max_length=500)

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.jti is None) == (self.client_id is None):
            raise ValueError("give jti or client_id, one of the two")
        return self


class RevocationOut(BaseModel):
    """What was revoked; holds everywhere within five seconds."""

    jti: str | None
    client_id: str | None
    before: datetime
    expires_at: datetime
