class Interest:
    known: int
    heartbeat: int
    def __init__(self, heartbeat_ns: int) -> None: ...
