"""The REST interface: what SciServer's CasJobs answered, and what is new here, on the same addresses."""
