class TopicTable:
    def add(self, topic_id: int, schema: str, symbol: str) -> bool:
        """Enter a topic; true if it was not known so. Raises SymbolError or CallerError where it is none."""
    def topic(self, topic_id: int) -> tuple[str, str]:
        """(schema word, symbol); raises CallerError if it is not known."""
