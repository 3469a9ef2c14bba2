from libc.stdint cimport uint32_t

from feed.log.layout cimport tc_topic_entry

cdef topic_of(const tc_topic_entry* entries, uint32_t count, object topic_id)
