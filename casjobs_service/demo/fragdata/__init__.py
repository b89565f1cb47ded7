"""Making of `FragData`: fragments of a body that an impact has broken."""
