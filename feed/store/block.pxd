"""One block: making it whole and telling whether it is."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from feed.log.layout cimport tc_log_frame
from feed.store.layout cimport tc_block

# Fill in the magic and the two sums of a header whose other fields and whose payload are set.
cdef void block_close(tc_block* block, const uint8_t* payload) noexcept nogil
# Is it a header as block_close() left it, of a payload that may be?
cdef bint block_headed(const tc_block* block) noexcept nogil
# Is its payload as block_close() saw it, and are its frames laid end to end? The header is believed.
cdef bint block_whole(const tc_block* block, const uint8_t* payload) noexcept nogil
# Leave out of a block of frames what is below record `seq`; gives how many bytes of the payload that is. The sums are void.
cdef size_t block_trim(tc_block* block, const uint8_t* payload, uint64_t seq) noexcept nogil
