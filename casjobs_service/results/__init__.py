"""Results as files of each format, from Arrow record batches."""
