"""SciDrive and the file service: one storage, every door (contract §4 and §5)."""
