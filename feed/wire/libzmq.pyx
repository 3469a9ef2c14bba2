# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The libzmq that pyzmq loaded, as a table of functions to call without the GIL.

The wheel ships a private, hashed libzmq that no global lookup finds; a handle of pyzmq's own extension module does, because
dlsym searches a handle's dependencies too. A second libzmq in the process would be undefined behaviour as soon as a
socket crossed over, so nothing here is ever linked or loaded: RTLD_NOLOAD only finds what is there already.
"""

import zmq
import zmq.backend.cython._zmq as pyzmq_extension

from feed.errors import HostError

cdef extern from "<dlfcn.h>" nogil:
    int RTLD_NOW
    int RTLD_NOLOAD
    void* dlopen(const char* path, int flags)
    void* dlsym(void* library, const char* name)
    char* dlerror()

cdef LibZmq functions
cdef bint filled = False
cdef void (*version_of)(int* major, int* minor, int* patch) noexcept nogil


cdef const LibZmq* table() except NULL:
    if not filled:
        _fill()
    return &functions


cdef void* handle(object socket) except NULL:
    cdef void* inside = <void*><size_t>socket.underlying
    if inside == NULL:
        raise HostError("the ZeroMQ socket is closed", expected="an open socket")
    return inside


def version() -> tuple[int, int, int]:
    """Version of the library behind the table; HostError if it can't be reached."""
    cdef int major = 0, minor = 0, patch = 0
    table()
    version_of(&major, &minor, &patch)
    return major, minor, patch


cdef int _fill() except -1:
    global filled, version_of
    path = pyzmq_extension.__file__
    cdef bytes name = path.encode()
    cdef void* library = dlopen(name, RTLD_NOW | RTLD_NOLOAD)
    if library == NULL:
        raise HostError(
            "the ZeroMQ library inside pyzmq can't be reached",
            expected="pyzmq's own extension module, loaded",
            found=dlerror().decode(),
            where=path,
            remedy="Install pyzmq for CPython (pip install --force-reinstall pyzmq)",
        )
    functions.msg_init = <int (*)(zmq_msg_t*) noexcept nogil>_find(library, path, b"zmq_msg_init")
    functions.msg_init_size = <int (*)(zmq_msg_t*, size_t) noexcept nogil>_find(library, path, b"zmq_msg_init_size")
    functions.msg_data = <void* (*)(zmq_msg_t*) noexcept nogil>_find(library, path, b"zmq_msg_data")
    functions.msg_size = <size_t (*)(const zmq_msg_t*) noexcept nogil>_find(library, path, b"zmq_msg_size")
    functions.msg_more = <int (*)(const zmq_msg_t*) noexcept nogil>_find(library, path, b"zmq_msg_more")
    functions.msg_send = <int (*)(zmq_msg_t*, void*, int) noexcept nogil>_find(library, path, b"zmq_msg_send")
    functions.msg_recv = <int (*)(zmq_msg_t*, void*, int) noexcept nogil>_find(library, path, b"zmq_msg_recv")
    functions.msg_close = <int (*)(zmq_msg_t*) noexcept nogil>_find(library, path, b"zmq_msg_close")
    functions.send = <int (*)(void*, const void*, size_t, int) noexcept nogil>_find(library, path, b"zmq_send")
    functions.getsockopt = <int (*)(void*, int, void*, size_t*) noexcept nogil>_find(library, path, b"zmq_getsockopt")
    functions.setsockopt = (
        <int (*)(void*, int, const void*, size_t) noexcept nogil>_find(library, path, b"zmq_setsockopt"))
    functions.poll = <int (*)(zmq_pollitem_t*, int, long) noexcept nogil>_find(library, path, b"zmq_poll")
    functions.errno_ = <int (*)() noexcept nogil>_find(library, path, b"zmq_errno")
    functions.strerror = <const char* (*)(int) noexcept nogil>_find(library, path, b"zmq_strerror")
    version_of = <void (*)(int*, int*, int*) noexcept nogil>_find(library, path, b"zmq_version")
    filled = True
    return 0


cdef void* _find(void* library, path, bytes name) except NULL:
    cdef void* found = dlsym(library, name)
    if found == NULL:
        raise HostError(
            "the ZeroMQ library lacks a function",
            expected=name.decode(),
            found=f"libzmq {zmq.zmq_version()}",
            where=path,
            remedy="Install pyzmq 26 or newer",
        )
    return found
