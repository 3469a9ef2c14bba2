from bots.position import Position

class Progress:
    position: Position
    def __init__(self, position: Position) -> None: ...
