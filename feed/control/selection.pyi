from typing import Final

PATTERNS_MAX: Final[int]

class Selection:
    @staticmethod
    def of(patterns: object, schemas: object) -> Selection: ...
    @staticmethod
    def topics(count: int) -> Selection: ...
