from typing import Any, Final, NamedTuple

import numpy as np

UNDEF_PRICE: Final[int]
UNDEF_TIMESTAMP: Final[int]
UNDEF_ORDER_SIZE: Final[int]
PRICE_UNITS: Final[int]

class Field(NamedTuple):
    name: str
    offset: int
    bytes: int
    unit: str

class Schema(NamedTuple):
    id: int
    word: str
    rtypes: tuple[int, ...]
    record_bytes: int
    dtype: np.dtype[Any]
    conflatable: bool
    fields: tuple[Field, ...]

SCHEMAS: Final[tuple[Schema, ...]]
BY_ID: Final[dict[int, Schema]]
BY_WORD: Final[dict[str, Schema]]

def schema_of_rtype(rtype: int) -> Schema | None: ...
