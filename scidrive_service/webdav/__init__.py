"""The WebDAV door."""
