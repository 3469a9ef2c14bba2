"""What a bot is given when it is behind, by schema: the policies fill, latest and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from feed.errors import ConfigError
from feed.wire.records import BY_WORD, SCHEMAS
from feed.wire.topics import check_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Policies", "Policy", "Slow"]

Policy = Literal["fill", "latest", "stop"]
Slow = Policy | dict[str, Policy]

POLICIES: Final = ("fill", "latest", "stop")


class Policies:
    """`slow` as a user gives it: None, one policy for all schemas, or some by schema; the rest have their defaults.

    fill    every tick, however late (the default of events: trade, order, bars, ...)
    latest  when behind, the newest state and how many it stands for (the default of quote, bbo, book, definition)
    stop    StaleData is raised rather than an old tick given

    :raises ConfigError: no such policy or schema, or `latest` for an event: trades and orders are never conflated.
    """

    def __init__(self, slow: Slow | None = None) -> None:
        by_word: Mapping[str, str] = slow if isinstance(slow, dict) else {}
        for word, policy in by_word.items():
            check_schema(word)
            if policy == "latest" and not BY_WORD[word].conflatable:
                where = f"slow[{word!r}]"
                raise ConfigError("events are never conflated", expected="fill or stop", found="latest", where=where)
        for policy in [slow] if isinstance(slow, str) else by_word.values():
            if policy not in POLICIES:
                raise ConfigError("no such policy", expected=", ".join(POLICIES), found=repr(policy), where="slow")
        self._by_id: dict[int, str] = {}
        for schema in SCHEMAS:
            default = "latest" if schema.conflatable else "fill"
            given = by_word.get(schema.word, slow if isinstance(slow, str) else default)
            self._by_id[schema.id] = "fill" if given == "latest" and not schema.conflatable else given

    def of(self, schema_id: int) -> str:
        """The policy of a schema."""
        return self._by_id.get(schema_id, "fill")

    def having(self, policy: Policy) -> frozenset[int]:
        """Ids of the schemas with this policy."""
        return frozenset(schema_id for schema_id, each in self._by_id.items() if each == policy)
