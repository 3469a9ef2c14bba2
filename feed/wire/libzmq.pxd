"""Table of contents of the libzmq that pyzmq loaded, for cimport: call it without the GIL through `table()`."""

from libc.stdint cimport uint8_t

cdef enum:
    ZMQ_POLLIN = 1
    ZMQ_POLLOUT = 2
    ZMQ_DONTWAIT = 1
    ZMQ_RCVMORE = 13
    ZMQ_FD = 14
    ZMQ_EVENTS = 15
    ZMQ_ETERM = 156384765       # errno after the context was terminated

# 64 bytes, aligned as a pointer; opaque. Every one that was initialised is closed or sent exactly once.
ctypedef struct zmq_msg_t:
    void* opaque[8]

ctypedef struct zmq_pollitem_t:
    void* socket
    int fd
    short events
    short revents

# All return what the function of that name in zmq.h returns; -1 means: look at errno_().
ctypedef struct LibZmq:
    int (*msg_init)(zmq_msg_t* msg) noexcept nogil
    int (*msg_init_size)(zmq_msg_t* msg, size_t size) noexcept nogil
    void* (*msg_data)(zmq_msg_t* msg) noexcept nogil
    size_t (*msg_size)(const zmq_msg_t* msg) noexcept nogil
    int (*msg_more)(const zmq_msg_t* msg) noexcept nogil
    int (*msg_send)(zmq_msg_t* msg, void* socket, int flags) noexcept nogil
    int (*msg_recv)(zmq_msg_t* msg, void* socket, int flags) noexcept nogil
    int (*msg_close)(zmq_msg_t* msg) noexcept nogil
    int (*send)(void* socket, const void* data, size_t size, int flags) noexcept nogil
    int (*getsockopt)(void* socket, int option, void* value, size_t* size) noexcept nogil
    int (*setsockopt)(void* socket, int option, const void* value, size_t size) noexcept nogil
    int (*poll)(zmq_pollitem_t* items, int count, long timeout_ms) noexcept nogil
    int (*errno_)() noexcept nogil
    const char* (*strerror)(int error) noexcept nogil

# The table, filled at the first call and constant after it. Raises HostError if a function is missing.
cdef const LibZmq* table() except NULL
# The libzmq socket inside a zmq.Socket: BORROWED, valid until that socket is closed; one thread at a time.
cdef void* handle(object socket) except NULL
