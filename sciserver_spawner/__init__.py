"""Places users' containers on Docker engines, mounts their storage and watches over them."""
