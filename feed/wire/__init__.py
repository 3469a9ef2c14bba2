"""The bytes on the wire, without I/O: records, topics, frames. The specification is README.md beside this file."""
