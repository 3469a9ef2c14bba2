"""The log's protocols, proved on all their weak-memory executions, and what goes wrong without each of their orders.

To learn the protocols read, in this order:

    commit.py    a frame is seen whole or not at all
    overrun.py   a copy that was overwritten is never taken for a frame; where an overtaken reader goes on
    join.py      a reader begins at the tail and knows the seq there
    gate.py      a gating reader is waited for
    park.py      no reader sleeps on while a frame waits for it
    close.py     a reader that hears of the end has read everything before it
    resume.py    a killed writer's successor knows all that was committed, and no more

Under them lies the checker: program.py is the language of the models, explore.py finds all executions of a program,
order.py is the rule for sequentially consistent events, axioms.py says the same rules as their authors do, and
litmus.py holds the classic tests that show the checker to be right. fences.py repeats the orders of
feed/log/fences.h.

    python -m tests.log.model      prints one faulty execution for every mistake
"""
